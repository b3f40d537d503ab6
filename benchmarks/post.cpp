// SPDX-License-Identifier: MIT
// What does a call without a future cost, when one producer posts 1,000,000 and waits until all
// have run?
#include <array>
#include <atomic>
#include <thread>

#include "peers.hpp"

namespace {

struct alignas(64) slot {
  std::atomic<long> calls{0};
};

/// Counts the calls that have run, each in the slot of its thread: one plain store on a line that
/// no other thread writes, so that counting costs all pools the same and next to nothing.
class tally {
 public:
  static void add_one() {
    thread_local std::atomic<long>& mine = slots_.at(next_.fetch_add(1)).calls;
    mine.store(mine.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  static long total() {
    long sum = 0;
    for (const auto& each : slots_) sum += each.calls.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  static inline std::array<slot, 16> slots_;
  static inline std::atomic<std::size_t> next_{0};
};

template <typename Pool>
void measure(const bench::report& report) {
  constexpr int calls = 1'000'000;
  Pool pool;
  const double ns = bench::median_ns([&] {
    const long all = tally::total() + calls;
    for (int i = 0; i < calls; ++i) pool.post([] { tally::add_one(); });
    while (tally::total() < all) std::this_thread::sleep_for(std::chrono::microseconds{20});
  });
  report("ns_per_call", ns / calls);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("post", argc, argv,
                    {{"cadre", measure<bench::cadre_threads>},
                     {"boost_asio", measure<bench::boost_asio>},
                     {"tbb_task_group", measure<bench::tbb_task_group>},
                     {"tbb_arena", measure<bench::tbb_arena>},
                     {"eigen", measure<bench::eigen>}});
}
