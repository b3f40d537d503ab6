// SPDX-License-Identifier: MIT
// What task_group promises, whichever executor runs the calls.
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/task_group.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <exception>
#include <latch>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""ms;

template <typename Traits>
class task_group : public testing::Test {};
TYPED_TEST_SUITE(task_group, all_executors, executor_names);

template <typename Traits>
class task_group_in_pools : public testing::Test {};
TYPED_TEST_SUITE(task_group_in_pools, pools, executor_names);

int throw_text(const std::string& text) { throw std::runtime_error{text}; }

/// A call: arrives at the gate, then runs until it is asked to stop.
int run_until_stopped(std::stop_token stop, gate_handle at) {
  arrive(at, 0);
  while (!stop.stop_requested()) std::this_thread::yield();
  return 1;
}

/// What wait() has thrown, as texts.
template <typename Group>
std::vector<std::string> failures(Group& group) {
  std::vector<std::string> texts;
  try {
    group.wait();
  } catch (const exception_group& failed) {
    for (const auto& e : failed.exceptions()) {
      try {
        std::rethrow_exception(e);
      } catch (const std::exception& known) {
        texts.emplace_back(known.what());
      }
    }
  }
  return texts;
}

using texts = std::vector<std::string>;

/// Its one call waits for the call that owns it.
int destroys_a_group_that_waits_for_its_owner() {
  const gate known;
  thread_pool_executor pool{2};
  std::atomic<pid_t> waiter = 0;
  future<void> owner;
  owner = pool.submit([&] {
    pass(known.handle(), 0);
    cadre::task_group group{pool};
    group.post([&] {
      waiter = ::gettid();
      owner.get();
    });
    while (waiter == 0 || !is_asleep(waiter)) std::this_thread::yield();
  });
  known.open();
  owner.wait();
  return 0;
}

const child_program waits_for_its_owner{"a group waits for its owner",
                                        &destroys_a_group_that_waits_for_its_owner};

}  // namespace

TYPED_TEST(task_group, wait_returns_when_all_calls_are_done) {
  const auto executor = TypeParam::make(2);
  cadre::task_group group{*executor};
  const auto a = group.spawn(&multiply, 6, 7);
  const auto b = group.spawn({.name = "b"}, &multiply, 2, 3);
  group.post(&multiply, 1, 1);

  group.wait();

  EXPECT_TRUE(a.done() && b.done());
  EXPECT_EQ(a.get() + b.get(), 48);
  EXPECT_FALSE(group.stop_requested());
}

TYPED_TEST(task_group, wait_throws_what_failed_and_can_be_asked_again) {
  const auto executor = TypeParam::make(1);
  cadre::task_group group{*executor};
  group.post(&throw_text, std::string{"first"});

  EXPECT_EQ(failures(group), texts{"first"});
  EXPECT_EQ(failures(group), texts{"first"});
}

TYPED_TEST(task_group, a_failure_stops_the_group) {
  const auto executor = TypeParam::make(1);
  cadre::task_group group{*executor};
  group.post(&throw_text, std::string{"first"});
  EXPECT_THROW(group.wait(), exception_group);

  EXPECT_TRUE(group.stop_requested());
  EXPECT_TRUE(group.spawn(&multiply, 1, 2).cancelled());
}

TYPED_TEST(task_group, of_an_empty_one_wait_returns_at_once) {
  const auto executor = TypeParam::make(1);
  cadre::task_group group{*executor};

  group.wait();
}

TYPED_TEST(task_group, what_no_wait_has_thrown_is_reported) {
  const unhandled_log log;
  {
    const auto executor = TypeParam::make(1);
    cadre::task_group group{*executor};
    const auto f = group.spawn(&throw_text, std::string{"first"});
    f.wait();
  }

  EXPECT_EQ(log.entries(), texts{"task_group: first"});
}

TYPED_TEST(task_group_in_pools, a_failure_cancels_what_is_pending_and_stops_what_runs) {
  const gate running;
  const gate failing;
  const gate begun;
  const auto executor = TypeParam::make(2);
  cadre::task_group group{*executor};
  const auto runs = group.spawn({.grace = long_time}, &run_until_stopped, running.handle());
  const auto fails = group.spawn(&pass_and_throw, failing.handle());
  running.await_arrivals(1);
  failing.await_arrivals(1);
  // A worker process may begin this one before the failure is known here, but not the next ones.
  const auto first = group.spawn({.grace = long_time}, &pass, begun.handle(), 0);
  std::vector<future<int>> pending;
  for (int i = 0; i < 10; ++i) pending.push_back(group.spawn(&multiply, i, i));

  failing.open();

  for (const auto& f : pending) EXPECT_TRUE(f.wait_for(long_time) && f.cancelled());
  begun.open();
  EXPECT_EQ(failures(group), texts{"passed"});
  EXPECT_EQ(runs.get(), 1);
  EXPECT_TRUE(first.done());
}

TYPED_TEST(task_group_in_pools, every_real_failure_is_thrown) {
  const gate here;
  const auto executor = TypeParam::make(2);
  cadre::task_group group{*executor};
  group.post(&pass_and_throw, here.handle());
  group.post(&pass_and_throw, here.handle());
  here.await_arrivals(2);
  here.open();

  EXPECT_EQ(failures(group), (texts{"passed", "passed"}));
}

TYPED_TEST(task_group_in_pools, the_destructor_stops_and_joins) {
  const gate here;
  const auto executor = TypeParam::make(1);
  future<int> runs;
  future<int> pending;
  {
    cadre::task_group group{*executor};
    runs = group.spawn({.grace = long_time}, &run_until_stopped, here.handle());
    pending = group.spawn(&multiply, 1, 2);
    here.await_arrivals(1);
  }

  EXPECT_TRUE(runs.done());
  EXPECT_TRUE(pending.done());
}

TYPED_TEST(task_group_in_pools, a_stop_of_the_parent_stops_the_group) {
  const gate here;
  const auto executor = TypeParam::make(1);
  std::stop_source parent;
  cadre::task_group group{*executor, parent.get_token()};
  const auto runs = group.spawn({.grace = long_time}, &run_until_stopped, here.handle());
  here.await_arrivals(1);

  parent.request_stop();
  group.wait();

  EXPECT_EQ(runs.get(), 1);
}

TYPED_TEST(task_group_in_pools, at_its_deadline_wait_stops_what_is_left_and_throws) {
  const gate here;
  const auto executor = TypeParam::make(1);
  cadre::task_group group{*executor};
  const auto runs = group.spawn({.grace = long_time}, &run_until_stopped, here.handle());
  here.await_arrivals(1);

  EXPECT_THROW(group.wait_for(1ms), timeout_error);

  EXPECT_TRUE(runs.done());
  group.wait();
}

TYPED_TEST(task_group_in_pools, cancelling_one_call_is_no_failure) {
  const gate here;
  const auto executor = TypeParam::make(1);
  cadre::task_group group{*executor};
  const auto blocker = group.spawn(&pass, here.handle(), 5);
  here.await_arrivals(1);
  const gate never;
  std::vector<future<int>> pending;
  for (int i = 0; i < 10; ++i) pending.push_back(group.spawn(&pass, never.handle(), 1));

  for (const auto& f : pending) EXPECT_TRUE(f.cancel());
  here.open();
  group.wait();

  EXPECT_EQ(blocker.get(), 5);
  EXPECT_FALSE(group.stop_requested());
}

TEST(task_group_of_processes, a_call_killed_for_the_group_is_no_failure) {
  const gate running;
  const gate failing;
  process_pool_executor pool{2};
  cadre::task_group group{pool};
  // It takes no token, and so does not obey.
  const auto killed = group.spawn({.grace = 1ms}, &pass, running.handle(), 1);
  group.post(&pass_and_throw, failing.handle());
  running.await_arrivals(1);
  failing.await_arrivals(1);
  failing.open();

  EXPECT_EQ(failures(group), texts{"passed"});
  EXPECT_THROW(killed.get(), worker_died);
}

TEST(task_group_of_threads, takes_any_callable_and_calls_of_other_executors) {
  thread_pool_executor pool{1};
  process_pool_executor processes{1};
  int here = 0;
  cadre::task_group group{pool};
  group.post([&here, p = std::make_unique<int>(7)] { here = *p; });
  const auto there = group.spawn_on(processes, &multiply, 6, 7);

  group.wait();

  EXPECT_EQ(here, 7);
  EXPECT_EQ(there.get(), 42);
}

TEST(task_group_of_threads, its_calls_may_spawn_more) {
  thread_pool_executor pool{2};
  std::atomic<int> ran = 0;
  cadre::task_group group{pool};
  const auto tree = [&](const auto& self, int depth) -> void {
    ++ran;
    if (depth == 0) return;
    for (int i = 0; i < 2; ++i) group.post([&self, depth] { self(self, depth - 1); });
  };
  group.post([&] { tree(tree, 9); });

  group.wait();

  EXPECT_EQ(ran, 1023);
}

TEST(task_group_of_threads, the_deadline_holds_for_calls_spawned_while_it_waits) {
  const gate running;
  const gate until_stopped;
  thread_pool_executor pool{1};
  cadre::task_group group{pool};
  group.post([&] {
    pass(running.handle(), 0);
    group.post(&run_until_stopped, until_stopped.handle());
  });
  running.await_arrivals(1);
  other_thread waiter{[&] { EXPECT_THROW(group.wait_for(short_time), timeout_error); }};

  waiter.await_asleep();
  running.open();
  waiter.join();

  EXPECT_TRUE(group.stop_requested());
}

TEST(task_group_of_threads, groups_nest_on_one_worker) {
  thread_pool_executor pool{1};
  cadre::task_group outer{pool};
  const auto sum = outer.spawn([&](std::stop_token stop) {
    cadre::task_group inner{pool, stop};
    const auto a = inner.spawn(&multiply, 1, 2);
    const auto b = inner.spawn(&multiply, 3, 4);
    inner.wait();  // the only worker runs them here
    return a.get() + b.get();
  });

  outer.wait();

  EXPECT_EQ(sum.get(), 14);
}

TEST(task_group_of_threads, a_failure_outside_stops_the_groups_inside) {
  thread_pool_executor pool{3};
  std::latch inside{1};
  std::atomic<bool> stopped = false;
  cadre::task_group outer{pool};
  outer.post([&](std::stop_token stop) {
    cadre::task_group inner{pool, stop};
    inner.post([&](std::stop_token innermost) {
      inside.count_down();
      while (!innermost.stop_requested()) std::this_thread::yield();
      stopped = true;
    });
    inner.wait();
  });
  inside.wait();
  outer.post([] { throw std::runtime_error{"outside"}; });

  EXPECT_EQ(failures(outer), texts{"outside"});
  EXPECT_TRUE(stopped);
}

TEST(task_group_of_threads, what_an_inner_group_throws_is_one_failure_of_the_outer) {
  thread_pool_executor pool{2};
  cadre::task_group outer{pool};
  outer.post([&] {
    cadre::task_group inner{pool};
    inner.post([] { throw std::runtime_error{"inside"}; });
    inner.wait();
  });

  EXPECT_EQ(failures(outer), texts{"task_group: 1 call has failed: inside"});
}

TEST(task_group_of_threads, a_cancellation_that_the_stop_caused_is_no_failure) {
  thread_pool_executor pool{2};
  promise<int> never;
  std::latch waits{1};
  cadre::task_group group{pool};
  group.post([&, f = never.get_future()](std::stop_token stop) {
    const std::stop_callback pass_on{stop, [&] { f.cancel(); }};
    waits.count_down();
    f.get();
  });
  waits.wait();
  group.post([] { throw std::runtime_error{"real"}; });

  EXPECT_EQ(failures(group), texts{"real"});
}

TEST(task_group_of_threads, a_cancellation_from_outside_is_a_failure) {
  thread_pool_executor pool{1};
  promise<int> outside;
  outside.get_future().cancel();
  cadre::task_group group{pool};
  group.post([f = outside.get_future()] { f.get(); });

  EXPECT_EQ(failures(group).size(), 1U);
}

TEST(task_group_of_threads, a_call_that_waits_for_its_own_group_throws) {
  thread_pool_executor pool{1};
  cadre::task_group group{pool};
  std::latch spawned{1};
  const auto f = group.spawn([&] {
    spawned.wait();  // before spawn() has returned, the call is not the group's
    group.wait();
  });
  spawned.count_down();

  EXPECT_THROW(f.get(), deadlock_error);
  EXPECT_EQ(failures(group).size(), 1U);
}

TEST(task_group_of_threads, a_destructor_that_would_wait_for_ever_terminates) {
  const ended child = waits_for_its_owner.run();

  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_NE(child.err.find("deadlock_error"), std::string::npos) << child;
}

}  // namespace cadre::test
