// SPDX-License-Identifier: MIT
// What becomes of calls when there is no memory for their way to a worker. This replaces operator new.
#include <cadre/errors.hpp>
#include <cadre/task_group.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>
#include <vector>

#include "executor/dispatcher.hpp"
#include "support/gate.hpp"
#include "unit/executor/queued_call.hpp"

namespace {

constexpr int unlimited = std::numeric_limits<int>::max();
constinit thread_local int allocations_left = unlimited;

/// On this thread only so many allocations succeed from now on.
class scarce_memory {
 public:
  explicit scarce_memory(int allocations) { allocations_left = allocations; }
  ~scarce_memory() { allocations_left = unlimited; }
  scarce_memory(const scarce_memory&) = delete;
  scarce_memory& operator=(const scarce_memory&) = delete;
};

}  // namespace

void* operator new(std::size_t size) {
  if (allocations_left == 0) throw std::bad_alloc{};
  if (allocations_left != unlimited) --allocations_left;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc{};
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace cadre::detail {
namespace {

constexpr std::size_t many = 300;  // more than a deque has room for at first

struct without_memory : testing::Test {
  void push(std::size_t first, std::size_t end) {
    for (std::size_t i = first; i < end; ++i) d.push(calls[i], 0);
  }
  /// Takes as many calls as there are, or `most`, without memory.
  void take(std::size_t most = many) {
    const scarce_memory none{0};
    for (std::size_t i = 0; i < most; ++i) {
      state_base* call = own.take();
      if (call == nullptr) call = d.take_batch(own, false).first;
      if (call == nullptr) return;
      taken.push_back(call);
    }
  }
  void expect_all_in_order(std::size_t count) const {
    ASSERT_EQ(taken.size(), count);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(taken[i], &calls[i]) << i;
  }

  dispatcher d{2, 0};
  call_deque own;
  std::vector<queued_call> calls{many};
  std::vector<state_base*> taken;
  void SetUp() override { taken.reserve(many); }
};

TEST_F(without_memory, every_call_reaches_a_worker_in_order) {
  push(0, many);

  take();

  expect_all_in_order(many);
  EXPECT_FALSE(d.has_work());
  EXPECT_EQ(d.accepted(), many);
}

TEST_F(without_memory, calls_that_come_later_come_out_later) {
  push(0, 100);
  take(50);
  push(100, 200);

  EXPECT_EQ(d.accepted(), 200U) << "with memory again";
  take(100);
  push(200, many);
  take();

  expect_all_in_order(many);
}

TEST_F(without_memory, a_sleeper_does_not_overlook_a_call) {
  push(0, 2);
  take(1);
  sleeper bed;

  const scarce_memory none{0};
  EXPECT_FALSE(d.announce_sleep(bed, [] { return true; }));
}

TEST_F(without_memory, what_is_left_at_the_end_is_handed_out_in_order) {
  push(0, 100);
  take(50);
  push(100, many);

  state_base* rest = nullptr;
  {
    const scarce_memory none{0};
    d.close();
    rest = d.take_all();
  }
  for (; rest != nullptr; rest = rest->queue_next) taken.push_back(rest);

  expect_all_in_order(many);
}

TEST_F(without_memory, a_full_deque_leaves_the_calls_where_they_are) {
  queued_call mine;
  const std::size_t full = 256;
  for (std::size_t i = 0; i < full; ++i) own.push(&mine);
  push(0, 10);

  {
    const scarce_memory none{0};
    EXPECT_EQ(d.take_batch(own, true).inbox_calls, 0U);
  }
  for (std::size_t i = 0; i < full; ++i) EXPECT_EQ(own.take(), &mine);
  take();

  expect_all_in_order(10);
}

TEST_F(without_memory, a_full_deque_grows_when_there_is_some) {
  queued_call mine;
  for (std::size_t i = 0; i < 256; ++i) own.push(&mine);
  push(0, 1);

  EXPECT_EQ(d.take_batch(own, true).inbox_calls, 1U);
}

}  // namespace
}  // namespace cadre::detail

namespace cadre::test {
namespace {

/// Calls `submit` with none, one, two ... allocations, until one succeeds; how many failed.
template <typename Submit>
int fail_at_each_allocation(const Submit& submit) {
  for (int allocations = 0;; ++allocations) {
    try {
      const scarce_memory few{allocations};
      submit();
      return allocations;
    } catch (const std::bad_alloc&) {
    }
  }
}

void expect_nothing_pending(thread_pool_executor& pool, std::uint64_t submitted) {
  pool.shutdown();
  EXPECT_EQ(pool.stats().pending, 0U);
  EXPECT_EQ(pool.stats().submitted, submitted);
}

TEST(submit_without_memory, takes_no_room_of_a_bounded_pool) {
  const gate busy;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1, .when_full = when_full::reject}};
  auto running = pool.submit(&pass, busy.handle(), 0);
  busy.await_arrivals(1);
  future<int> queued;

  const int failed =
      fail_at_each_allocation([&] { queued = pool.submit({.priority = 1}, [] { return 42; }); });
  busy.open();

  EXPECT_GT(failed, 0);
  EXPECT_EQ(queued.get(), 42);
  expect_nothing_pending(pool, 2);
}

TEST(submit_without_memory, on_a_worker_loses_nothing_that_was_accepted) {
  constexpr int accepted = 600;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1000}};
  std::vector<future<int>> calls;
  calls.reserve(accepted);

  const int failed = pool.submit([&] {
                           int sum = 0;
                           for (int i = 0; i < accepted; ++i) {
                             sum += fail_at_each_allocation(
                                 [&] { calls.push_back(pool.submit([i] { return i; })); });
                           }
                           return sum;
                         })
                         .get();
  for (int i = 0; i < accepted; ++i) EXPECT_EQ(calls[static_cast<std::size_t>(i)].get(), i);

  EXPECT_GT(failed, 0);
  expect_nothing_pending(pool, accepted + 1);
}

TEST(task_group_without_memory, stops_its_calls) {
  const gate busy;
  thread_pool_executor pool{1};
  task_group group{pool};
  const auto running = group.spawn(&pass, busy.handle(), 1);
  busy.await_arrivals(1);
  std::vector<future<int>> pending;
  for (int i = 0; i < 3; ++i) pending.push_back(group.spawn(&arrive, busy.handle(), i));

  {
    const scarce_memory none{0};
    group.request_stop();
  }
  busy.open();
  group.wait();

  EXPECT_EQ(running.get(), 1);
  for (const auto& f : pending) EXPECT_TRUE(f.cancelled());
}

TEST(task_group_without_memory, keeps_what_a_call_threw) {
  thread_pool_executor pool{1};
  task_group group{pool};
  group.post([] {
    allocations_left = 0;  // for what this worker does until further notice
    throw 1;
  });

  EXPECT_THROW(group.wait(), exception_group);

  pool.submit([] { allocations_left = unlimited; }).get();
}

}  // namespace
}  // namespace cadre::test
