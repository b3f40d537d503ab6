// SPDX-License-Identifier: MIT
// What does a call with a future cost, when two producers submit half a million each at once?
#include <barrier>
#include <thread>

#include "submit_get.hpp"

namespace {

/// The second producer lives as long as the pool, like the first, which is the caller.
template <typename Pool>
void measure(const bench::report& report) {
  constexpr int calls = bench::submit_get_calls<Pool>;
  Pool pool;
  std::barrier start{2};
  std::barrier end{2};
  bool more = true;

  std::thread second{[&] {
    bench::producer producer{pool, calls / 2};
    for (;;) {
      start.arrive_and_wait();
      if (!more) return;
      producer.round();
      end.arrive_and_wait();
    }
  }};
  bench::producer producer{pool, calls / 2};
  const double ns = bench::median_ns([&] {
    start.arrive_and_wait();
    producer.round();
    end.arrive_and_wait();
  });
  report("ns_per_call", ns / calls);

  more = false;
  start.arrive_and_wait();
  second.join();
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("submit_get_2p", argc, argv,
                    {{"cadre", measure<bench::cadre_threads>},
                     {"boost_asio", measure<bench::boost_asio>},
                     {"tbb_task_group", measure<bench::tbb_task_group>},
                     {"tbb_arena", measure<bench::tbb_arena>},
                     {"eigen", measure<bench::eigen>},
                     {"std_async", measure<bench::std_async>}});
}
