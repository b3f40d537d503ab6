// SPDX-License-Identifier: MIT
// What does it cost to await: what is there already, another coroutine, another worker, a million?
//
//   ready       co_await of a future that is done, and of a task that does not wait
//   ping_pong   two coroutines on two pools of one worker each answer each other; "x" pins the
//               workers to different CPUs. calls: a thread and a pool of one worker, by submit and
//               get. blocking: the same exchange of promises as the coroutines', by get().
//   skynet      a call spawns ten, down to a million: a task that awaits, or (calls) a call that
//               waits for its calls by get()
#include <cadre/coro.hpp>

#include <array>
#include <vector>

#include "peers.hpp"

namespace {

using cadre::future;
using cadre::promise;
using cadre::task;
using cadre::thread_pool_executor;

void check(long long actual, long long expected, const char* what) {
  if (actual == expected) return;
  std::fprintf(stderr, "%s is wrong: %lld, not %lld\n", what, actual, expected);
  std::exit(EXIT_FAILURE);
}

// --- ready ---

constexpr int awaits = 1'000'000;

task<int> await_future(future<int> f) {
  int sum = 0;
  for (int i = 0; i < awaits; ++i) sum += co_await f;
  co_return sum;
}

task<int> one() { co_return 1; }
task<int> await_tasks() {
  int sum = 0;
  for (int i = 0; i < awaits; ++i) sum += co_await one();
  co_return sum;
}

void measure_ready(const bench::report& report) {
  promise<int> ready;
  ready.set_value(1);
  const double of_future = bench::median_ns(
      [&] { check(cadre::sync_wait(await_future(ready.get_future())), awaits, "ready"); });
  report("ns_per_call", of_future / awaits, "future");
  const double of_task =
      bench::median_ns([] { check(cadre::sync_wait(await_tasks()), awaits, "ready"); });
  report("ns_per_call", of_task / awaits, "task");
}

// --- ping-pong ---

constexpr std::size_t rounds = 20'000;
constexpr std::size_t warm_up = rounds / 10;

/// Few promises, made again when the ball has long passed: as memory that is used again and again.
struct table {
  static constexpr std::size_t balls = 64;
  std::array<promise<int>, balls> there;
  std::array<promise<int>, balls> back;
  std::vector<double> ns;
};

/// Makes the promises again that a ball passed long ago.
void renew(table& t, std::size_t round) {
  if (round < table::balls / 2) return;
  const std::size_t passed = (round - table::balls / 2) % table::balls;
  t.there[passed] = {};
  t.back[passed] = {};
}

task<> serve(table& t) {
  for (std::size_t i = 0; i < warm_up + rounds; ++i) {
    const auto ball = t.there[i % table::balls].get_future();
    co_await ball;
    t.back[i % table::balls].set_value(1);
  }
}

task<> play(table& t) {
  for (std::size_t i = 0; i < warm_up + rounds; ++i) {
    const auto begin = bench::clock::now();
    t.there[i % table::balls].set_value(1);
    const auto ball = t.back[i % table::balls].get_future();
    co_await ball;
    const std::chrono::duration<double, std::nano> took = bench::clock::now() - begin;
    if (i >= warm_up) t.ns.push_back(took.count());
    renew(t, i);
  }
}

void serve_blocking(table& t) {
  for (std::size_t i = 0; i < warm_up + rounds; ++i) {
    t.there[i % table::balls].get_future().get();
    t.back[i % table::balls].set_value(1);
  }
}

void play_blocking(table& t) {
  for (std::size_t i = 0; i < warm_up + rounds; ++i) {
    const double ns = bench::elapsed_ns([&] {
      t.there[i % table::balls].set_value(1);
      t.back[i % table::balls].get_future().get();
    });
    if (i >= warm_up) t.ns.push_back(ns);
    renew(t, i);
  }
}

/// `start` begins the two players, each on a pool of its own.
template <typename Start>
void measure_ping_pong(const bench::report& report, Start start) {
  for (const std::string_view variant : {"free", "x"}) {
    bench::in_fresh_process([&] {
      thread_pool_executor left{1};
      thread_pool_executor right{1};
      if (variant == "x") {
        left.submit([] { bench::pin_this_thread(0); }).get();
        right.submit([] { bench::pin_this_thread(1); }).get();
      }
      table t;
      for (const future<void>& player : start(left, right, t)) player.get();
      for (std::size_t i = 0; i < table::balls; ++i) {  // those that nobody threw
        t.there[i].get_future().cancel();
        t.back[i].get_future().cancel();
      }
      report("p50_ns", bench::percentile(t.ns, 0.5), variant);
      report("p99_ns", bench::percentile(t.ns, 0.99), variant);
    });
  }
}

// --- skynet ---

constexpr long long leaves = 1'000'000;
constexpr long long sum_of_leaves = leaves * (leaves - 1) / 2;

// The same frame in each: ten futures, awaited one after the other.
task<long long> skynet(thread_pool_executor& pool, long long first, long long size) {
  if (size == 1) co_return first;
  std::array<future<long long>, 10> parts;
  for (int i = 0; i < 10; ++i) {
    parts[static_cast<std::size_t>(i)] =
        cadre::spawn(pool, skynet(pool, first + i * (size / 10), size / 10));
  }
  long long sum = 0;
  for (auto& part : parts) sum += co_await part;
  co_return sum;
}

long long skynet_calls(thread_pool_executor& pool, long long first, long long size) {
  if (size == 1) return first;
  std::array<future<long long>, 10> parts;
  for (int i = 0; i < 10; ++i) {
    parts[static_cast<std::size_t>(i)] = pool.submit(
        [&pool, first, size, i] { return skynet_calls(pool, first + i * (size / 10), size / 10); });
  }
  long long sum = 0;
  for (auto& part : parts) sum += part.get();
  return sum;
}

void measure_skynet(const bench::report& report) {
  thread_pool_executor pool{bench::workers};
  const double ns = bench::median_ns(
      [&] { check(cadre::spawn(pool, skynet(pool, 0, leaves)).get(), sum_of_leaves, "skynet"); });
  report("ns_per_fork", ns / leaves, "skynet");
}

void measure_skynet_calls(const bench::report& report) {
  thread_pool_executor pool{bench::workers};
  const double ns = bench::median_ns([&] {
    check(pool.submit([&] { return skynet_calls(pool, 0, leaves); }).get(), sum_of_leaves,
          "skynet");
  });
  report("ns_per_fork", ns / leaves, "skynet");
}

// --- blocking ---

void measure_blocking(const bench::report& report) {
  for (const std::string_view variant : {"free", "x"}) {
    bench::in_fresh_process([&] {
      thread_pool_executor right{1};
      if (variant == "x") {
        bench::pin_this_thread(0);
        right.submit([] { bench::pin_this_thread(1); }).get();
      }
      std::vector<double> samples;
      for (std::size_t i = 0; i < warm_up + rounds; ++i) {
        const double ns = bench::elapsed_ns([&] { right.submit([] {}).get(); });
        if (i >= warm_up) samples.push_back(ns);
      }
      report("p50_ns", bench::percentile(samples, 0.5), variant);
      report("p99_ns", bench::percentile(samples, 0.99), variant);
    });
  }
}

void measure_tasks(const bench::report& report) {
  measure_ping_pong(report, [](auto& left, auto& right, table& t) {
    return std::array{cadre::spawn(left, play(t)), cadre::spawn(right, serve(t))};
  });
  measure_ready(report);
  measure_skynet(report);
}

void measure_calls(const bench::report& report) {
  measure_blocking(report);
  measure_skynet_calls(report);
}

void measure_blocking_players(const bench::report& report) {
  measure_ping_pong(report, [](auto& left, auto& right, table& t) {
    return std::array{left.submit([&t] { play_blocking(t); }),
                      right.submit([&t] { serve_blocking(t); })};
  });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run(
      "await", argc, argv,
      {{"cadre", measure_tasks}, {"calls", measure_calls}, {"blocking", measure_blocking_players}});
}
