// SPDX-License-Identifier: MIT
// A task that waits, what it waits for, and who stops it, under every schedule.
#include <gtest/gtest.h>
#include <cadre/all.hpp>
#include <cadre/coro.hpp>
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>

#include <exception>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "coro/wait_limit.hpp"
#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::future;
using cadre::promise;
using cadre::task;

task<int> await(future<int> f) { co_return co_await f; }

task<int> await_next(std::vector<future<int>> all) {
  auto results = cadre::as_completed(std::move(all));
  auto f = co_await cadre::next_completed(results);
  co_return f->get();
}

task<int> await_both(future<int> first, future<int> second) {
  co_await first;
  co_return co_await second;
}

task<int> await_all(future<int> first, future<int> second) {
  auto [a, b] = co_await cadre::all(await(std::move(first)), await(std::move(second)));
  co_return (a + b) / 2;
}

task<int> take_token(future<int> first, std::stop_token& token) {
  co_await first;
  token = co_await cadre::this_task::stop_token();
  co_return 42;
}

/// Sets it, unless a stop has cancelled it.
void set(promise<int>& p) {
  if (p.set_running()) p.set_value(42);
}

/// Done exactly once, with the value or by the stop.
void check_outcome(const future<int>& f) {
  check(f.done(), "the task ended");
  try {
    check(f.get() == 42, "it has the value");
  } catch (const cadre::cancelled_error&) {
  }
}

// Red when the listener may resume the task while the trampoline is still setting the wait up.
TEST(task_model, goes_on_once_when_the_future_is_set_while_it_begins_to_wait) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    promise<int> p;
    future<int> f;
    in_parallel([&, awaited = p.get_future()] { f = cadre::spawn(here, await(awaited)); },
                [&] { p.set_value(42); });
    check(f.done() && f.get() == 42, "it has the value");
  }));
}

// Red when a stop goes on without having taken the listener back.
TEST(task_model, goes_on_once_when_it_is_stopped_while_the_future_is_set) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    promise<int> p;
    const auto f = cadre::spawn(here, await(p.get_future()));
    in_parallel([&] { f.request_stop(); }, [&] { set(p); });
    check_outcome(f);
  }));
}

// Red when close_wait() does not wait for a stop that uses what was awaited.
TEST(task_model, ends_once_when_it_is_stopped_and_its_future_set_while_it_begins_to_wait) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    promise<int> begun;
    promise<int> p;
    const auto f = cadre::spawn(here, await_both(begun.get_future(), p.get_future()));
    in_parallel([&] { set(begun); }, [&] { f.request_stop(); },
                [&] {
                  promise<int> own = std::move(p);
                  set(own);
                });
    check_outcome(f);
  }));
}

// Red when get_stop_token() does not look whether a stop was requested before it made the token.
TEST(task_model, its_token_is_told_of_a_stop_that_comes_while_it_is_made) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    promise<int> begun;
    std::stop_token token;
    const auto f = cadre::spawn(here, take_token(begun.get_future(), token));
    bool stopped = false;
    in_parallel([&] { set(begun); }, [&] { stopped = f.request_stop(); });
    check(f.done(), "the task ended");
    check(!stopped || !token.stop_possible() || token.stop_requested(), "the token was told");
  }));
}

// Red when fail() does not wait for a stop that uses what was awaited.
TEST(task_model, fails_once_when_it_is_stopped_while_its_executor_refuses_the_rest) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    promise<int> p;
    const auto f = cadre::spawn(here, await(p.get_future()));
    here.shutdown();
    in_parallel([&] { f.request_stop(); },
                [&] {
                  promise<int> own = std::move(p);
                  set(own);
                });
    check(f.done(), "the task ended");
    try {
      f.get();
      check(false, "it did not go on");
    } catch (const std::exception&) {
    }
  }));
}

// Red when begin_wait() overwrites a result that has just come.
TEST(task_model, next_completed_goes_on_once_when_a_future_is_set_while_it_begins_to_wait) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    std::vector<promise<int>> p(2);
    future<int> f;
    in_parallel(
        [&, all = std::vector{p[0].get_future(), p[1].get_future()}] {
          f = cadre::spawn(here, await_next(all));
        },
        [&] { p[0].set_value(42); }, [&] { p[1].set_value(42); });
    check(f.done() && f.get() == 42, "it has the value");
  }));
}

/// Counts how often a wait is ended.
struct counting_waiter : cadre::detail::listener {
  counting_waiter() noexcept
      : listener{[](listener& self, cadre::detail::state_base&) noexcept {
          ++static_cast<counting_waiter&>(self).ended;
        }} {}
  cadre::sync::atomic<int> ended{0};
};

/// A wait for `p` begins while its time is over and while `others` run.
template <typename... Others>
void begin_as_the_time_is_over(promise<int>& p, const Others&... others) {
  counting_waiter waiter;
  cadre::detail::completion_set set;
  set.add(cadre::detail::access::state_of(p.get_future()));
  cadre::detail::wait_limit limit{set};
  in_parallel(
      [&] {
        if (!set.begin_wait(waiter) || limit.open()) ++waiter.ended;
      },
      [&] {
        if (limit.expire()) ++waiter.ended;
      },
      others...);
  check(waiter.ended.load() == 1, "it went on once");
}

// Red when open() does not look whether the time is over, or expire() does not note that it is.
TEST(task_model, a_wait_with_a_limit_ends_when_the_time_is_over_while_it_begins) {
  EXPECT_TRUE(holds([] {
    promise<int> never;
    begin_as_the_time_is_over(never);
  }));
}

// Red when open() or expire() does not look whether a completion has ended the wait.
TEST(task_model, a_wait_with_a_limit_ends_once_when_a_future_is_set_as_the_time_is_over) {
  EXPECT_TRUE(holds([] {
    promise<int> p;
    begin_as_the_time_is_over(p, [&] { p.set_value(42); });
  }));
}

// Red when expire() uses the set after close().
TEST(task_model, a_limit_lets_go_of_its_set_when_the_wait_is_closed) {
  EXPECT_TRUE(holds([] {
    promise<int> p;
    counting_waiter waiter;
    auto set = std::make_unique<cadre::detail::completion_set>();
    set->add(cadre::detail::access::state_of(p.get_future()));
    cadre::detail::wait_limit limit{*set};
    in_parallel(
        [&] {
          check(set->begin_wait(waiter), "nothing is done");
          if (limit.open()) ++waiter.ended;
          p.set_value(42);
          limit.close();
          set.reset();
        },
        [&] {
          if (limit.expire()) ++waiter.ended;
        });
    check(waiter.ended.load() == 1, "it went on once");
  }));
}

// Red when nobody goes on, since a part of the count is given up by none, or two do.
TEST(task_model, goes_on_once_when_all_that_it_awaits_ends_while_it_begins_to_wait) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    promise<int> first;
    promise<int> second;
    future<int> f;
    in_parallel([&, a = first.get_future(),
                 b = second.get_future()] { f = cadre::spawn(here, await_all(a, b)); },
                [&] { first.set_value(42); }, [&] { second.set_value(42); });
    check(f.done() && f.get() == 42, "it has the value");
  }));
}

// Red when a child begins without looking whether a stop was requested, or the stop misses one.
TEST(task_model, ends_once_when_it_is_stopped_while_all_that_it_awaits_begins) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    promise<int> begun;
    promise<int> first;
    promise<int> second;
    const auto after = [](future<int> before, future<int> a, future<int> b) -> task<int> {
      co_await before;
      co_return co_await await_all(std::move(a), std::move(b));
    };
    const auto f =
        cadre::spawn(here, after(begun.get_future(), first.get_future(), second.get_future()));
    in_parallel([&] { set(begun); }, [&] { f.request_stop(); });
    check(f.done() && f.exception() != nullptr, "the stop reached it");
  }));
}

// Red when the stop uses a child that has ended.
TEST(task_model, ends_once_when_it_is_stopped_while_all_that_it_awaits_ends) {
  EXPECT_TRUE(holds([] {
    cadre::inline_executor here;
    promise<int> first;
    promise<int> second;
    const auto f = cadre::spawn(here, await_all(first.get_future(), second.get_future()));
    in_parallel([&] { f.request_stop(); }, [&] { set(first); }, [&] { set(second); });
    check_outcome(f);
  }));
}

}  // namespace
}  // namespace cadre_model
