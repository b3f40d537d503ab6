// SPDX-License-Identifier: MIT
// What does it cost to go on when others are done: when_all of a thousand calls, a chain of a thousand steps
// each of which is a call of the pool, and a thousand such steps behind one future?
#include <vector>

#include "peers.hpp"

namespace {

constexpr int count = 1000;

int add_one(const cadre::future<int>& before) { return before.get() + 1; }

void check(bool right) {
  if (right) return;
  std::fprintf(stderr, "continuations are wrong\n");
  std::exit(EXIT_FAILURE);
}

void measure_cadre(const bench::report& report) {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};
  const double all = bench::median_ns([&] {
    std::vector<cadre::future<void>> calls;
    calls.reserve(count);
    for (int i = 0; i < count; ++i) calls.push_back(pool.submit([] {}));
    cadre::when_all(calls).wait();
  });
  report("ns_per_call", all / count, "when_all");
  const double chain = bench::median_ns([&] {
    cadre::promise<int> begin;
    cadre::future<int> last = begin.get_future();
    for (int i = 0; i < count; ++i) last = last.then(pool, add_one);
    begin.set_value(0);
    check(last.get() == count);
  });
  report("ns_per_call", chain / count, "chain");
  const double fan = bench::median_ns([&] {
    cadre::promise<int> begin;
    const cadre::future<int> first = begin.get_future();
    std::vector<cadre::future<int>> steps;
    steps.reserve(count);
    for (int i = 0; i < count; ++i) steps.push_back(first.then(pool, add_one));
    begin.set_value(0);
    for (const auto& step : steps) check(step.get() == 1);
  });
  report("ns_per_call", fan / count, "fan");
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("continuations", argc, argv, {{"cadre", measure_cadre}});
}
