// SPDX-License-Identifier: MIT
// Divide and conquer by coroutines: tasks that await several tasks at once.
#include <cadre/all.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <numeric>
#include <random>
#include <span>
#include <vector>

namespace {

// [sort]
cadre::task<> sort(std::span<int> values) {
  constexpr std::size_t small = 1000;  // what is shared out should take some microseconds
  if (values.size() <= small) {
    std::sort(values.begin(), values.end());
    co_return;
  }
  const auto half = static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), values.begin() + half, values.end());
  co_await cadre::all(sort(values.first(values.size() / 2)),
                      sort(values.subspan(values.size() / 2)));
}
// [/sort]

// [list]
cadre::task<long> sum(std::span<const int> values) {
  co_return std::accumulate(values.begin(), values.end(), 0L);
}

cadre::task<long> sum_of_parts(std::span<const int> values) {
  std::vector<cadre::task<long>> parts;
  for (; values.size() > 10'000; values = values.subspan(10'000)) {
    parts.push_back(sum(values.first(10'000)));
  }
  parts.push_back(sum(values));
  const std::vector<long> sums = co_await cadre::all(std::move(parts));
  co_return std::accumulate(sums.begin(), sums.end(), 0L);
}
// [/list]

}  // namespace

int main() {
  std::vector<int> values(100'000);
  std::iota(values.begin(), values.end(), 0);
  std::shuffle(values.begin(), values.end(), std::minstd_rand{1});
  cadre::thread_pool_executor pool;

  cadre::spawn(pool, sort(values)).get();
  const long total = cadre::spawn(pool, sum_of_parts(values)).get();

  std::cout << values.front() << " to " << values.back() << ", in all " << total << '\n';
  return std::is_sorted(values.begin(), values.end()) && total == 4'999'950'000 ? 0 : 1;
}
