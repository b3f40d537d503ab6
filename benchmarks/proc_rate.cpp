// SPDX-License-Identifier: MIT
// What do calls of a worker process cost that come now and then: 100 or 1000 in a second?
#include <cadre/process_pool_executor.hpp>

#include <thread>

#include "processes.hpp"

namespace {

int same(int n) { return n; }

/// The CPU time includes the caller's timer.
template <typename Call>
void measure_calls(const bench::report& report, int per_second, std::string_view variant,
                   Call call) {
  const auto between = std::chrono::microseconds{1'000'000 / per_second};
  auto next = bench::clock::now();
  const auto pause = [&] {
    std::this_thread::sleep_until(next);
    next = std::max(next + between, bench::clock::now());
  };
  bench::measure_calls(report, variant, 300, pause, call);
}

template <typename Measure>
void measure_variants(Measure measure) {
  for (const int per_second : {100, 1000}) {
    for (const char* surroundings : {"", "crowded", "one_busy"}) {
      const bench::company beside{surroundings};
      std::string variant = std::to_string(per_second) + "/s";
      if (*surroundings != '\0') variant.append(" ").append(surroundings);
      bench::in_fresh_process([&] { measure(per_second, variant); });
    }
  }
}

void measure_cadre(const bench::report& report) {
  measure_variants([&](int per_second, std::string_view variant) {
    cadre::process_pool_executor pool{bench::workers};
    measure_calls(report, per_second, variant, [&](int i) { pool.submit(&same, i).get(); });
  });
}

template <typename Workers>
void measure(const bench::report& report) {
  measure_variants([&](int per_second, std::string_view variant) {
    Workers peer;
    measure_calls(report, per_second, variant, [&](int i) {
      peer.send(0, std::as_bytes(std::span{&i, 1}));
      peer.receive(0, std::as_writable_bytes(std::span{&i, 1}));
    });
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_rate", argc, argv,
                    {{"cadre", measure_cadre},
                     {"pipe", measure<bench::pipe_workers>},
                     {"unix_socket", measure<bench::socket_workers>},
                     {"boost_mq", measure<bench::queue_workers>}});
}
