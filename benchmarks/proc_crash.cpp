// SPDX-License-Identifier: MIT
// How long is it from a call that dies of SIGSEGV to its exception at the caller ("failure"), and
// from there to the next result ("next")?
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include "processes.hpp"

namespace {

constexpr int crashes = 50;

void crash() { std::raise(SIGSEGV); }
int same(int n) { return n; }

void measure_cadre(const bench::report& report) {
  cadre::process_pool_executor pool{1};
  std::vector<double> failures, next;
  for (int i = 0; i < crashes; ++i) {
    pool.submit(&same, i).get();
    failures.push_back(bench::elapsed_ns([&] {
      if (!pool.submit(&crash).exception()) std::exit(EXIT_FAILURE);
    }));
    next.push_back(bench::elapsed_ns([&] { pool.submit(&same, i).get(); }));
  }
  report("ms", bench::percentile(failures, 0.5) / 1e6, "failure");
  report("ms", bench::percentile(next, 0.5) / 1e6, "next");
}

void measure_forks(const bench::report& report) {
  std::vector<double> failures, next;
  for (int i = 0; i < crashes; ++i) {
    failures.push_back(bench::elapsed_ns([] { bench::forked(crash); }));
    next.push_back(bench::elapsed_ns([] { bench::forked([] {}); }));
  }
  report("ms", bench::percentile(failures, 0.5) / 1e6, "failure");
  report("ms", bench::percentile(next, 0.5) / 1e6, "next");
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_crash", argc, argv,
                    {{"cadre", measure_cadre}, {"fork_per_call", measure_forks}});
}
