// SPDX-License-Identifier: MIT
// A pool's whole life, told while something fails beneath it: made, used in every way, shut down,
// destroyed. Each step may throw, and each future may fail, if what they throw names the cause; none may
// be lost or wrong.
#pragma once

#include <cadre/all.hpp>
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/local_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/timer.hpp>
#include <cadre/wait.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/timeouts.hpp"

namespace cadre::test {

inline int doubled(int x) { return 2 * x; }
inline std::vector<int> copies(int n) { return std::vector<int>(static_cast<std::size_t>(n), n); }
inline int until_stopped(std::stop_token stop) {
  while (!stop.stop_requested()) std::this_thread::yield();
  return 1;
}

/// The number of leaves of a tree of tasks.
inline task<int> count_leaves(int depth) {
  if (depth == 0) co_return 1;
  std::vector<task<int>> more;
  more.push_back(count_leaves(0));
  more.push_back(count_leaves(depth - 1));
  auto [left, right] = co_await all(count_leaves(depth - 1), count_leaves(0));
  for (const int n : co_await all(std::move(more))) left += n;
  co_return left + right;
}

inline task<int> await_it(future<int> f) { co_return co_await f; }

/// While the first one is suspended, the tasks beside it get chains of their own.
inline task<int> count_beside(future<int> zero) {
  auto [none, leaves, more] =
      co_await all(await_it(std::move(zero)), count_leaves(3), count_leaves(2));
  co_return none + leaves + more;
}

/// What an exception says, with those nested in it.
inline std::string whole_text(const std::exception& e) {
  std::string text = e.what();
  try {
    std::rethrow_if_nested(e);
  } catch (const std::exception& inner) {
    text += ": " + whole_text(inner);
  } catch (...) {
    text += ": something";
  }
  return text;
}

class pool_story {
 public:
  /// `causes`: an error must say one of these. `calm`: ends what makes things fail.
  pool_story(std::vector<std::string_view> causes, void (*calm)())
      : causes_{std::move(causes)}, calm_{calm} {}

  template <typename Pool>
  void tell() {
    std::vector<future<int>> numbers;
    std::vector<future<std::vector<int>>> lists;
    attempt([&] {
      Pool pool{2};
      use(pool, numbers, lists);
      attempt([&] { pool.shutdown(); });
    });
    calm_();
    for (const auto& f : numbers) check(f, [](int n) { return n >= 0; });
    for (const auto& f : lists) check(f, [](const auto& l) { return l.size() == 20'000; });
  }

  /// Empty if all was well.
  const std::string& complaint() const noexcept { return complaint_; }
  unsigned errors() const noexcept { return errors_; }

 private:
  template <typename Pool>
  void use(Pool& pool, std::vector<future<int>>& numbers,
           std::vector<future<std::vector<int>>>& lists) {
    using namespace std::chrono_literals;
    for (int i = 0; i < 4; ++i) {
      attempt([&] { numbers.push_back(pool.submit(&doubled, i)); });
    }
    attempt([&] { numbers.push_back(pool.submit({.priority = 1}, &doubled, 5)); });
    if constexpr (std::derived_from<Pool, local_executor>) {
      attempt([&] { numbers.push_back(spawn(pool, count_leaves(4))); });
      attempt([&] {
        promise<int> zero;
        numbers.push_back(spawn(pool, count_beside(zero.get_future())));
        numbers.back().wait_for(1ms);
        zero.set_value(0);
      });
    }
    attempt([&] { lists.push_back(pool.submit(&copies, 20'000)); });
    attempt([&] {
      auto f = pool.submit(&until_stopped);
      numbers.push_back(f);
      // It may have to begin before it can be told.
      while (!f.done() && !f.request_stop() && !f.wait_for(1ms)) {
      }
    });
    attempt([&] { pool.submit(&doubled, 6).cancel(); });
    attempt([&] { numbers.push_back(numbers.at(0).then([](int n) { return n + 1; })); });
    attempt([&] { numbers.push_back(submit_after(pool, 100us, &doubled, 7)); });
    attempt([&] { submit_after(pool, 1h, &doubled, 8).cancel(); });
    attempt([&] { static_cast<void>(submit_after(pool, 1h, &doubled, 9)); });
    attempt([&] {
      auto series = submit_every(pool, 1h, &doubled, 10);
      series.cancel();
    });
    attempt([&] {
      int sum = 0;
      for (const int n : pool.map(&doubled, std::vector<int>{1, 2, 3, 4, 5})) sum += n;
      if (sum != 30) complain("a map gave " + std::to_string(sum));
    });
    attempt([&] {
      int sum = 0;
      for (const int n : pool.map({.ordered = false}, &doubled, std::vector<int>{1, 2, 3}))
        sum += n;
      if (sum != 12) complain("an unordered map gave " + std::to_string(sum));
    });
    attempt([&] {
      const auto all = when_all(numbers);
      if (!all.wait_for(medium_time)) complain("when_all is not done");
    });
    attempt([&] { wait(numbers, {.timeout = medium_time}); });
  }

  template <typename Function>
  void attempt(const Function& step) {
    try {
      step();
    } catch (const std::out_of_range&) {  // of numbers.at(): there is none
    } catch (const cancelled_error&) {    // of request_stop(), which came before the call began
    } catch (const std::exception& e) {
      ++errors_;
      judge(whole_text(e));
    }
  }

  template <typename T, typename Predicate>
  void check(const future<T>& f, const Predicate& right) {
    if (!f.wait_for(medium_time)) return complain("a call was lost");
    attempt([&] {
      if (!right(f.get())) complain("a result was wrong");
    });
  }

  void judge(const std::string& text) {
    // Of a timer, if nobody could wait for it.
    if (text.find("its executor was shut down before its time came") != std::string::npos) return;
    for (const std::string_view cause : causes_) {
      if (text.find(cause) != std::string::npos) return;
    }
    complain("an error does not say why: " + text);
  }

  void complain(const std::string& what) {
    if (complaint_.empty()) complaint_ = what;
  }

  const std::vector<std::string_view> causes_;
  void (*const calm_)();
  std::string complaint_;
  unsigned errors_ = 0;
};

}  // namespace cadre::test
