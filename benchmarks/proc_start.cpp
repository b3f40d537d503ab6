// SPDX-License-Identifier: MIT
// How long is it from the construction of the first pool to the first result, and does it matter how
// much memory the parent has?
#include <cadre/process_pool_executor.hpp>

#include "processes.hpp"

namespace {

int same(int n) { return n; }

template <typename First>
void measure_variants(const bench::report& report, First first) {
  bench::in_fresh_process([&] { report("ms", bench::elapsed_ns(first) / 1e6, "small"); });
  bench::in_fresh_process([&] {
    const std::vector<char> resident(std::size_t{1} << 30, 1);
    bench::keep(resident.data());
    report("ms", bench::elapsed_ns(first) / 1e6, "1GiB");
  });
}

void measure_cadre(const bench::report& report) {
  measure_variants(report, [] {
    // Not destroyed: its end is not part of the question, and the process ends next.
    auto* pool = new cadre::process_pool_executor{bench::workers};
    pool->submit(&same, 1).get();
  });
}

void measure_pipe(const bench::report& report) {
  measure_variants(report, [] {
    auto* peer = new bench::pipe_workers;
    int n = 1;
    peer->send(0, std::as_bytes(std::span{&n, 1}));
    peer->receive(0, std::as_writable_bytes(std::span{&n, 1}));
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_start", argc, argv, {{"cadre", measure_cadre}, {"pipe", measure_pipe}});
}
