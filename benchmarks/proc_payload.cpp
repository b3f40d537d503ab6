// SPDX-License-Identifier: MIT
// How fast do large arguments and results travel? A call takes so many bytes and gives them back;
// gb_per_s counts both ways. shared: the call gets a view of memory that it shares with the caller.
#include <cadre/process_pool_executor.hpp>
#include <cadre/shared_span.hpp>

#include <utility>

#include "processes.hpp"

namespace {

using bytes = std::vector<std::uint8_t>;

bytes echo(bytes value) { return value; }

std::uint8_t last(cadre::shared_span<const std::uint8_t> view) { return view[view.size() - 1]; }

constexpr std::array<std::pair<const char*, std::size_t>, 4> sizes{
    {{"1KB", 1u << 10}, {"64KB", 1u << 16}, {"1MB", 1u << 20}, {"64MB", 1u << 26}}};

template <typename Echo>
void measure_sizes(const bench::report& report, Echo echo_once) {
  for (const auto& [name, size] : sizes) {
    const bytes value(size, 7);
    const double ns = bench::median_ns([&] { echo_once(value); });
    report("gb_per_s", 2 * static_cast<double>(size) / ns, name);
  }
}

void measure_cadre(const bench::report& report) {
  cadre::process_pool_executor pool{bench::workers};
  measure_sizes(report, [&](const bytes& value) {
    const bytes back = pool.submit(&echo, value).get();
    bench::keep(back.data());
  });
  for (const auto& [name, size] : sizes) {
    cadre::shared_buffer<std::uint8_t> memory(size);
    std::vector<double> samples;
    constexpr int warm_up = 100;
    for (int i = 0; i < warm_up + 5'000; ++i) {
      const double ns = bench::elapsed_ns([&] { pool.submit(&last, memory.share()).get(); });
      if (i >= warm_up) samples.push_back(ns);
    }
    report("p50_ns", bench::percentile(samples, 0.5), std::string{"shared_"} + name);
  }
}

template <typename Workers>
void measure(const bench::report& report) {
  Workers peer;
  measure_sizes(report, [&](const bytes& value) {
    bytes back(value.size());
    peer.send(0, std::as_bytes(std::span{value}));
    peer.receive(0, std::as_writable_bytes(std::span{back}));
    bench::keep(back.data());
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_payload", argc, argv,
                    {{"cadre", measure_cadre},
                     {"pipe", measure<bench::pipe_workers>},
                     {"unix_socket", measure<bench::socket_workers>},
                     {"boost_mq", measure<bench::queue_workers>}});
}
