// SPDX-License-Identifier: MIT
// What does a fork cost in fib(30), where each of 1,346,268 calls submits one branch, computes
// the other and waits for the first?
//
// cadre_all computes both by coroutines: a fork is an all() of two tasks.
//
// boost_asio, tbb_arena, eigen and python are not here: a worker that waits for a future is lost
// to their pools, and two workers are soon lost. tbb_task_group forks by its own idiom, whose
// wait runs other tasks. std_async makes a thread per fork and gets a smaller n.
#include <cadre/all.hpp>

#include "peers.hpp"

namespace {

int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

template <typename Run>
void measure(const bench::report& report, int n, Run run) {
  const int expected = fib(n);
  const int forks = fib(n + 1) - 1;
  const double ns = bench::median_ns([&] {
    if (run(n) == expected) return;
    std::fprintf(stderr, "fib(%d) is wrong\n", n);
    std::exit(EXIT_FAILURE);
  });
  report("ns_per_fork", ns / forks);
}

int fib_cadre(cadre::thread_pool_executor& pool, int n) {
  if (n < 2) return n;
  auto first = pool.submit([&pool, n] { return fib_cadre(pool, n - 1); });
  const int second = fib_cadre(pool, n - 2);
  return first.get() + second;
}

/// Also says how many threads there are in the end: the caller, the workers, and those that the
/// pool started because workers waited.
void measure_cadre(const bench::report& report) {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};
  measure(report, 30, [&](int n) { return pool.submit([&] { return fib_cadre(pool, n); }).get(); });
  report("threads", bench::thread_count());
}

cadre::task<int> fib_all(int n) {
  if (n < 2) co_return n;
  const auto [first, second] = co_await cadre::all(fib_all(n - 1), fib_all(n - 2));
  co_return first + second;
}

void measure_all(const bench::report& report) {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};
  measure(report, 30, [&](int n) { return cadre::spawn(pool, fib_all(n)).get(); });
}

int fib_tbb(int n) {
  if (n < 2) return n;
  int first = 0;
  tbb::task_group group;
  group.run([&first, n] { first = fib_tbb(n - 1); });
  const int second = fib_tbb(n - 2);
  group.wait();
  return first + second;
}

/// The caller is one of the two threads.
void measure_tbb(const bench::report& report) {
  tbb::task_arena arena{bench::workers};
  measure(report, 30, [&](int n) { return arena.execute([n] { return fib_tbb(n); }); });
}

int fib_async(int n) {
  if (n < 2) return n;
  auto first = std::async(std::launch::async, fib_async, n - 1);
  const int second = fib_async(n - 2);
  return first.get() + second;
}

void measure_async(const bench::report& report) { measure(report, 14, fib_async); }

}  // namespace

int main(int argc, char** argv) {
  return bench::run("fib", argc, argv,
                    {{"cadre", measure_cadre},
                     {"cadre_all", measure_all},
                     {"tbb_task_group", measure_tbb},
                     {"std_async", measure_async}});
}
