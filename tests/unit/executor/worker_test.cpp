// SPDX-License-Identifier: MIT
#include "executor/worker.hpp"

#include <gtest/gtest.h>
#include <cadre/errors.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <latch>
#include <vector>

#include "support/other_thread.hpp"
#include "unit/executor/queued_call.hpp"

namespace cadre::detail {
namespace {

/// With two threads at most, of which none is started.
class still_pool final : public worker_pool {
 public:
  still_pool() : worker_pool{1, 1} {}

  void try_start_worker() noexcept override {}
  state_base* steal(unsigned) noexcept override { return nullptr; }
  bool deques_empty() const noexcept override { return true; }
  void worker_rests() noexcept override {}
  void call_begins() noexcept override {}
  void give_back_holds(unsigned) noexcept override {}
  bool withdraw(state_base&) noexcept override { return false; }
};

struct pending_call : state_base {
  pending_call() : state_base{pending} {}
  ~pending_call() override = default;
  void fail(std::exception_ptr) noexcept override {}
};

// Two chains of calls met at the last two threads: each saw the other's left to run what it waited for.
TEST(worker, the_last_one_does_not_block_on_a_call_that_nobody_is_left_to_run) {
  still_pool pool;
  worker first{pool, 0};
  worker last{pool, 1};
  pending_call call;
  call.set_owner(&pool, fork_generation());
  state_base* const awaited = &call;

  first.begin_block(&awaited, 1, true);
  EXPECT_THROW(last.begin_block(&awaited, 1, true), deadlock_error);

  EXPECT_EQ(pool.queue.now().blocked(), 1U) << "it does not count as blocked";
  first.end_block();
}

// Its call's caller may be slow to block: the calls below it have long met the last thread.
TEST(worker, the_last_one_does_not_block_on_one_that_waits_for_such_a_call) {
  still_pool pool;
  worker caller{pool, 0};
  pending_call running;
  pending_call call;
  running.set_owner(&pool, fork_generation());
  call.set_owner(&pool, fork_generation());
  ASSERT_TRUE(running.try_start());
  state_base* const of_caller = &running;
  state_base* const of_other = &call;
  const call_frame frame{&running, nullptr};
  blocked_worker other{&frame, &of_other, 1};
  remember_blocked(other);
  pool.queue.change(census::one_blocked);

  EXPECT_THROW(caller.begin_block(&of_caller, 1, true), deadlock_error);

  EXPECT_EQ(pool.queue.now().blocked(), 1U);
  forget_blocked(other);
}

TEST(worker, the_last_one_may_block_on_what_others_do) {
  still_pool pool;
  worker first{pool, 0};
  worker last{pool, 1};
  pending_call elsewhere;
  state_base* const awaited = &elsewhere;

  first.begin_block(&awaited, 1, true);
  EXPECT_NO_THROW(last.begin_block(&awaited, 1, true));

  last.end_block();
  first.end_block();
}

/// A thread that naps without end, and a call of a pool that ends its sleep.
struct napping_reader {
  sync::parker bed;
  std::latch woken{1};
  test::other_thread reader{[this] {
    bed.nap(sync::never);
    woken.count_down();
  }};
};

// Red when wake_when_dry() leaves a sleeper to few calls: the call would wait for it for ever.
TEST(worker, wakes_who_naps_at_once_where_few_calls_wait) {
  thread_pool_executor pool{1};
  napping_reader n;
  ASSERT_TRUE(n.reader.await_asleep());
  pool.pause();
  auto call = pool.submit([&] {
    end_sleep(n.bed);
    n.woken.wait();
  });
  const auto another = pool.submit([] {});
  pool.resume();

  call.get();
  n.reader.join();
}

// Red when a worker that runs dry does not look for who naps: the reader would sleep for ever.
TEST(worker, wakes_who_naps_when_it_runs_dry) {
  thread_pool_executor pool{1};
  napping_reader n;
  ASSERT_TRUE(n.reader.await_asleep());
  pool.pause();
  std::vector<future<void>> calls;
  calls.push_back(pool.submit([&] { end_sleep(n.bed); }));
  for (int i = 0; i < 30; ++i) calls.push_back(pool.submit([] {}));
  pool.resume();

  n.woken.wait();
  n.reader.join();
}

}  // namespace
}  // namespace cadre::detail
