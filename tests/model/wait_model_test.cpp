// SPDX-License-Identifier: MIT
// Waiting for several futures under every schedule: wait, as_completed, when_all, when_any, then.
#include <gtest/gtest.h>
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/wait.hpp>

#include <array>
#include <exception>
#include <optional>
#include <stdexcept>
#include <vector>

#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::future;
using cadre::promise;
using cadre::return_when;
using cadre::sync::atomic;

constexpr auto a_year = std::chrono::hours{24 * 365};

/// Two promises, to be set by two threads, and their futures.
struct two_calls {
  std::array<promise<int>, 2> promises;
  std::vector<future<int>> futures{promises[0].get_future(), promises[1].get_future()};

  void set(std::size_t i) { promises[i].set_value(static_cast<int>(i)); }
  void fail(std::size_t i) {
    promises[i].set_exception(std::make_exception_ptr(std::runtime_error{"no"}));
    futures[i].exception();  // observed
  }
};

// Red when a waiter's countdown is not atomic, or does not count futures that were done before.
TEST(wait_model, for_all_returns_when_all_are_done) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel(
        [&] {
          const auto result = cadre::wait(calls.futures);
          check(result.done.size() == 2 && result.not_done.empty(), "all are done");
        },
        [&] { calls.set(0); }, [&] { calls.set(1); });
  }));
}

// Red when only the last notification wakes the waiter: the second promise is set after wait().
TEST(wait_model, for_the_first_returns_when_one_is_done) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel(
        [&] {
          const auto result =
              cadre::wait(calls.futures, {.return_when = return_when::first_completed});
          check(!result.done.empty(), "one is done");
          calls.set(1);
        },
        [&] { calls.set(0); });
  }));
}

// Red when the waiter is destroyed by its thread while a late notification still uses it.
TEST(wait_model, a_waiter_may_leave_while_it_is_notified) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel([&] { cadre::wait(calls.futures, {.return_when = return_when::first_completed}); },
                [&] { calls.set(0); }, [&] { calls.set(1); });
  }));
}

// Red when an exception is told apart from a value before the status is published.
TEST(wait_model, for_an_exception_returns_when_one_threw) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel(
        [&] {
          cadre::wait(calls.futures, {.return_when = return_when::first_exception});
          check(calls.futures[0].done(), "the failed one is done");
          calls.set(1);
        },
        [&] { calls.fail(0); });
  }));
}

// Red when remove_listener() of a waiter that timed out forgets to look for a notification that is
// on its way.
TEST(wait_model, a_time_out_leaves_nothing_behind) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel(
        [&] {
          const auto result = cadre::wait(calls.futures, {.timeout = a_year});
          check(result.done.size() + result.not_done.size() == 2, "every future is in one list");
        },
        [&] { calls.set(0); }, [&] { calls.futures[1].cancel(); });
  }));
}

// Red when the thread that pushes onto a non-empty ready list is the one to wake its owner, or the
// push is not atomic.
TEST(as_completed_model, reports_every_future_once) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel(
        [&] {
          std::array<int, 2> reported{};
          for (auto& f : cadre::as_completed(calls.futures)) {
            check(f.done(), "a reported future is done");
            ++reported[static_cast<std::size_t>(f.get())];
          }
          check(reported == std::array{1, 1}, "each once");
        },
        [&] { calls.set(0); }, [&] { calls.set(1); });
  }));
}

// Red when a node of the set is used again before its notification has ended.
TEST(as_completed_model, futures_may_be_added_while_others_complete) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel(
        [&] {
          auto set = cadre::as_completed(std::array{calls.futures[0]});
          check(set.next().has_value(), "the first is reported");
          set.add(calls.futures[1]);
          check(set.next().has_value(), "the one added is reported");
          check(!set.next().has_value(), "then there is none left");
        },
        [&] { calls.set(0); }, [&] { calls.set(1); });
  }));
}

// Red when the set is destroyed by its owner while a late notification still uses it.
TEST(as_completed_model, the_set_may_be_dropped_while_it_is_notified) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel(
        [&] { check(cadre::as_completed(calls.futures).next().has_value(), "one is done"); },
        [&] { calls.set(0); }, [&] { calls.set(1); });
  }));
}

// Red when a time-out takes a state out of the set without its listener.
TEST(as_completed_model, a_time_out_may_come_at_any_time) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    in_parallel(
        [&] {
          auto set = cadre::as_completed(calls.futures, a_year);
          try {
            while (set.next()) {
            }
            check(calls.futures[0].done() && calls.futures[1].done(), "all were reported");
          } catch (const cadre::timeout_error&) {
            check(set.remaining() > 0, "some are left");
          }
        },
        [&] { calls.set(0); }, [&] { calls.set(1); });
  }));
}

// Red when the inputs are counted by a load and a store.
TEST(when_all_model, is_done_once_when_the_last_input_is) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    auto all = cadre::when_all(calls.futures);
    in_parallel(
        [&] {
          for (const auto& f : all.get()) check(f.done(), "every input is done");
        },
        [&] { calls.set(0); }, [&] { calls.set(1); });
  }));
}

// Red when every input that is done completes the result.
TEST(when_any_model, is_done_once_when_the_first_input_is) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    auto any = cadre::when_any(calls.futures);
    in_parallel([&] { check(calls.futures[any.get().index].done(), "it names one that is done"); },
                [&] { calls.set(0); }, [&] { calls.set(1); });
  }));
}

// Red when a result that was cancelled is completed all the same.
TEST(when_all_model, may_be_cancelled_while_the_inputs_complete) {
  EXPECT_TRUE(holds([] {
    two_calls calls;
    auto all = cadre::when_all(calls.futures);
    bool cancelled = false;
    in_parallel([&] { cancelled = all.cancel(); }, [&] { calls.set(0); }, [&] { calls.set(1); });
    check(all.done() && all.cancelled() == cancelled, "it is done, or was cancelled");
  }));
}

// Red when a continuation runs before its antecedent is published, or is forgotten by cancel().
TEST(then_model, passes_the_value_or_the_cancellation_on) {
  EXPECT_TRUE(holds([] {
    std::optional<promise<int>> p{std::in_place};
    auto first = p->get_future();
    bool set = false;
    in_parallel(
        [&] {
          auto next = first.then([](int n) { return n + 1; });
          next.wait();
          check(next.cancelled() == first.cancelled(), "a cancellation is passed on");
          check(next.cancelled() || next.get() == 8, "a value is passed on");
        },
        [&] {
          if ((set = p->set_running())) p->set_value(7);
        },
        [&] { first.cancel(); });
    check(set != first.cancelled(), "it was set or cancelled");
  }));
}

}  // namespace
}  // namespace cadre_model
