// SPDX-License-Identifier: MIT
// What does one of 100,000 timers cost to set, and to cancel? Their times are in no order.
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <list>
#include <vector>

#include "peers.hpp"

namespace {

using std::chrono::hours;
using std::chrono::microseconds;

constexpr int count = 100'000;

std::chrono::nanoseconds delay_of(int i) { return hours{1} + microseconds{i * 7919LL % count}; }

/// `set(i)` sets one more timer, `cancel()` cancels all.
template <typename Set, typename Cancel>
void measure(const bench::report& report, Set set, Cancel cancel) {
  std::vector<double> to_set;
  std::vector<double> to_cancel;
  for (int round = 0; round < 11; ++round) {
    to_set.push_back(bench::elapsed_ns([&] {
      for (int i = 0; i < count; ++i) set(i);
    }));
    to_cancel.push_back(bench::elapsed_ns(cancel));
  }
  report("ns_to_set", bench::percentile(std::move(to_set), 0.5) / count);
  report("ns_to_cancel", bench::percentile(std::move(to_cancel), 0.5) / count);
}

void measure_cadre(const bench::report& report) {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};
  std::vector<cadre::future<void>> timers;
  timers.reserve(count);
  measure(
      report, [&](int i) { timers.push_back(cadre::submit_after(pool, delay_of(i), [] {})); },
      [&] {
        for (const auto& each : timers) each.cancel();
        timers.clear();
      });
}

/// Its handlers run with an error when it is cancelled: that is part of it.
void measure_asio(const bench::report& report) {
  boost::asio::io_context context;
  std::list<boost::asio::steady_timer> timers;
  measure(
      report,
      [&](int i) {
        timers.emplace_back(context, delay_of(i)).async_wait([](const boost::system::error_code&) {
        });
      },
      [&] {
        timers.clear();
        context.restart();
        context.run();
      });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("timers", argc, argv, {{"cadre", measure_cadre}, {"boost_asio", measure_asio}});
}
