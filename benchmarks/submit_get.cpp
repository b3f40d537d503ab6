// SPDX-License-Identifier: MIT
// What does a call with a future cost, when one producer submits 1,000,000 empty calls, keeps
// the futures, and then gets every result?
#include "submit_get.hpp"

namespace {

template <typename Pool>
void measure(const bench::report& report) {
  constexpr int calls = bench::submit_get_calls<Pool>;
  Pool pool;
  bench::producer producer{pool, calls};
  report("ns_per_call", bench::median_ns([&] { producer.round(); }) / calls);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("submit_get", argc, argv,
                    {{"cadre", measure<bench::cadre_threads>},
                     {"boost_asio", measure<bench::boost_asio>},
                     {"tbb_task_group", measure<bench::tbb_task_group>},
                     {"tbb_arena", measure<bench::tbb_arena>},
                     {"eigen", measure<bench::eigen>},
                     {"std_async", measure<bench::std_async>}});
}
