// SPDX-License-Identifier: MIT
// What does an element cost on its way through a queue of 1024, with as many producers as consumers?
// And how long does a thread wait for an answer that comes through a second queue?
//
// moodycamel's queue has no bound, no join and no shutdown, and keeps the order of each producer only.
#include <concurrentqueue/blockingconcurrentqueue.h>

#include <oneapi/tbb/concurrent_queue.h>
#include <cadre/queue.hpp>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

#include "harness.hpp"

namespace {

constexpr std::size_t bound = 1024;

using element = std::uint64_t;

struct cadre_queue : cadre::queue<element> {
  cadre_queue() : cadre::queue<element>{bound} {}
};

struct tbb_bounded : tbb::concurrent_bounded_queue<element> {
  tbb_bounded() { set_capacity(bound); }
  void put(element n) { push(n); }
  element get() {
    element n = 0;
    pop(n);
    return n;
  }
};

struct moodycamel_blocking : moodycamel::BlockingConcurrentQueue<element> {
  void put(element n) { enqueue(n); }
  element get() {
    element n = 0;
    wait_dequeue(n);
    return n;
  }
};

/// The textbook's.
class mutex_cv {
 public:
  void put(element n) {
    {
      std::unique_lock lock{mutex_};
      not_full_.wait(lock, [this] { return queue_.size() < bound; });
      queue_.push_back(n);
    }
    not_empty_.notify_one();
  }
  element get() {
    element n = 0;
    {
      std::unique_lock lock{mutex_};
      not_empty_.wait(lock, [this] { return !queue_.empty(); });
      n = queue_.front();
      queue_.pop_front();
    }
    not_full_.notify_one();
    return n;
  }

 private:
  std::mutex mutex_;
  std::condition_variable not_full_;
  std::condition_variable not_empty_;
  std::deque<element> queue_;
};

/// Wall time per element, with so many threads on each side.
template <typename Queue>
double ns_per_element(int pairs) {
  constexpr int elements = 400'000;
  const int each = elements / pairs;
  const double ns = bench::median_ns([&] {
    Queue queue;
    std::vector<std::jthread> threads;
    for (int p = 0; p < pairs; ++p) {
      threads.emplace_back([&] {
        for (int i = 0; i < each; ++i) queue.put(static_cast<element>(i));
      });
      threads.emplace_back([&] {
        element sum = 0;
        for (int i = 0; i < each; ++i) sum += queue.get();
        bench::keep(&sum);
      });
    }
  });
  return ns / (each * pairs);
}

/// Round trips between two threads, left to the kernel ("free"), or on two processors ("x").
template <typename Queue>
void measure_hand_off(const bench::report& report, std::string_view variant) {
  constexpr int trips = 50'000;
  bench::in_fresh_process([&] {
    Queue there;
    Queue back;
    std::jthread answers{[&] {
      if (variant == "x") bench::pin_this_thread(1);
      while (const element n = there.get()) back.put(n);
    }};
    if (variant == "x") bench::pin_this_thread(0);
    std::vector<double> samples;
    for (int i = -trips / 10; i < trips; ++i) {
      const double ns = bench::elapsed_ns([&] {
        there.put(1);
        back.get();
      });
      if (i >= 0) samples.push_back(ns);
    }
    there.put(0);
    report("p50_ns", bench::percentile(samples, 0.50), variant);
    report("p99_ns", bench::percentile(samples, 0.99), variant);
  });
}

template <typename Queue>
void measure(const bench::report& report) {
  report("ns_per_element", ns_per_element<Queue>(1), "1p1c");
  report("ns_per_element", ns_per_element<Queue>(2), "2p2c");
  report("ns_per_element", ns_per_element<Queue>(4), "4p4c");
  measure_hand_off<Queue>(report, "free");
  measure_hand_off<Queue>(report, "x");
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("queue", argc, argv,
                    {{"cadre", measure<cadre_queue>},
                     {"tbb_bounded", measure<tbb_bounded>},
                     {"moodycamel", measure<moodycamel_blocking>},
                     {"mutex_cv", measure<mutex_cv>}});
}
