// SPDX-License-Identifier: MIT
// An asynchronous generator gives results as they become done; a stop ends who awaits it.
#include <cadre/async_generator.hpp>
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <iostream>
#include <vector>

namespace {

int square(int n) { return n * n; }

// [generator]
cadre::async_generator<int> squares(cadre::thread_pool_executor& pool, int count) {
  std::vector<cadre::future<int>> calls;
  for (int i = 1; i <= count; ++i) calls.push_back(pool.submit(square, i));
  auto results = cadre::as_completed(calls);
  while (auto f = co_await cadre::next_completed(results)) co_yield f->get();
}

cadre::task<int> sum_of_squares(cadre::thread_pool_executor& pool) {
  auto values = squares(pool, 10);
  int sum = 0;
  while (auto value = co_await values.next()) sum += *value;
  co_return sum;
}
// [/generator]

// [stop]
bool stopped(cadre::thread_pool_executor& pool, const cadre::future<int>& never) {
  auto f = cadre::spawn(pool, [never]() -> cadre::task<int> { co_return co_await never; });
  f.request_stop();  // cancels `never`; the co_await throws, if the task has begun
  try {
    f.get();
  } catch (const cadre::cancelled_error&) {
    return true;
  }
  return false;
}
// [/stop]

}  // namespace

int main() {
  cadre::thread_pool_executor pool;
  const cadre::promise<int> unset;
  const int sum = cadre::sync_wait(sum_of_squares(pool));
  std::cout << sum << '\n';
  return sum == 385 && stopped(pool, unset.get_future()) ? 0 : 1;
}
