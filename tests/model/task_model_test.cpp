// SPDX-License-Identifier: MIT
// A task that waits, what it waits for, and who stops it, under every schedule. All threads of the
// explorer are one to std::stop_callback, whose destructor then does not wait for its callback: so
// not all stops can be tried here. See tests/coro/stop_test.cpp.
#include <gtest/gtest.h>
#include <cadre/coro.hpp>
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>

#include <utility>
#include <vector>

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
    in_parallel([&] { f.request_stop(); },
                [&] {
                  if (p.set_running()) p.set_value(42);
                });
    check_outcome(f);
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

}  // namespace
}  // namespace cadre_model
