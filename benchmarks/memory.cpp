// SPDX-License-Identifier: MIT
// How many bytes does a waiting call take, with its future and without, when 1,000,000 wait
// because all workers are busy? The handle that the user holds counts too.
//
// eigen is not here: it never lets so many wait, but runs them in the caller. Nor is std_async,
// which has no waiting calls.
#include "peers.hpp"

namespace {

constexpr int calls = 1'000'000;

/// What `fill` adds to the resident memory while all workers are busy, in a process of its own.
template <typename Pool, typename Fill>
void measure_variant(const bench::report& report, std::string_view variant, Fill fill) {
  bench::in_fresh_process([&] {
    Pool pool;
    std::latch busy{Pool::workers};
    std::latch release{1};
    for (int i = 0; i < Pool::workers; ++i) {
      pool.post([&] {
        busy.count_down();
        release.wait();
      });
    }
    busy.wait();
    const double before = bench::resident_bytes();
    [[maybe_unused]] const auto kept = fill(pool);
    report("bytes_per_call", (bench::resident_bytes() - before) / calls, variant);
    std::fflush(stdout);
    std::_Exit(EXIT_SUCCESS);  // the workers are still held, as every measurement needs
  });
}

template <typename Pool>
void measure(const bench::report& report) {
  measure_variant<Pool>(report, "future", [](Pool& pool) {
    constexpr auto empty_call = [] {};
    std::vector<decltype(pool.submit(empty_call))> futures;
    futures.reserve(calls);
    for (int i = 0; i < calls; ++i) futures.push_back(pool.submit(empty_call));
    return futures;
  });
  measure_variant<Pool>(report, "post", [](Pool& pool) {
    for (int i = 0; i < calls; ++i) pool.post([] {});
    return 0;
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("memory", argc, argv,
                    {{"cadre", measure<bench::cadre_threads>},
                     {"boost_asio", measure<bench::boost_asio>},
                     {"tbb_task_group", measure<bench::tbb_task_group>},
                     {"tbb_arena", measure<bench::tbb_arena>}});
}
