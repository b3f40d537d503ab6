// SPDX-License-Identifier: MIT
// How fast do large arguments and results travel? A call takes so many bytes and gives them back;
// gb_per_s counts both ways.
#include <cadre/process_pool_executor.hpp>

#include <utility>

#include "processes.hpp"

namespace {

using bytes = std::vector<std::uint8_t>;

bytes echo(bytes value) { return value; }

template <typename Echo>
void measure_sizes(const bench::report& report, Echo echo_once) {
  constexpr std::array<std::pair<const char*, std::size_t>, 4> sizes{
      {{"1KB", 1u << 10}, {"64KB", 1u << 16}, {"1MB", 1u << 20}, {"64MB", 1u << 26}}};
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
}

template <typename Workers>
void measure(const bench::report& report) {
  Workers crew;
  measure_sizes(report, [&](const bytes& value) {
    bytes back(value.size());
    crew.send(0, std::as_bytes(std::span{value}));
    crew.receive(0, std::as_writable_bytes(std::span{back}));
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
