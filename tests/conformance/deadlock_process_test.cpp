// SPDX-License-Identifier: MIT
// Whatever fails on the way of a call to a worker and back costs that call, and hangs nobody.
// Source: CPython's test_deadlock.py, where most of it costs the pool.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "conformance/process_pools.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class deadlock : public testing::Test {};
TYPED_TEST_SUITE(deadlock, start_methods, executor_names);

enum class moment : std::uint8_t { never, encode_call, decode_call, encode_result, decode_result };
enum class end : std::uint8_t { error, exit, crash };

void come_to(end how) {
  if (how == end::error) throw disk_full{};
  if (how == end::exit) ::_exit(3);
  ::raise(SIGKILL);
}

/// A value that fails when it is encoded or decoded, as it says itself.
class mine {
 public:
  mine() = default;
  mine(moment when, end how) : when_{when}, how_{how}, parent_{::getpid()} {}

  template <typename Archive>
  void save(Archive& archive) const {
    step_on(::getpid() == parent_ ? moment::encode_call : moment::encode_result);
    archive(when_, how_, parent_);
  }
  template <typename Archive>
  void load(Archive& archive) {
    archive(when_, how_, parent_);
    step_on(::getpid() == parent_ ? moment::decode_result : moment::decode_call);
  }

 private:
  void step_on(moment now) const {
    if (when_ == now) come_to(how_);
  }

  moment when_ = moment::never;
  end how_ = end::error;
  int parent_ = 0;
};

mine send_back(mine m) { return m; }
int come_to_its_end(end how) {
  come_to(how);
  return 0;
}
int exit_in_good_order(int code) { std::exit(code); }
int wait_then_die(gate_handle at) {
  pass(at, 0);
  return die();
}
int die_of(const std::string&) { return die(); }

template <typename Pool>
future<mine> submit(Pool& pool, moment when, end how) {
  return pool.submit(&send_back, mine{when, how});
}

/// The same worker, or another one, still runs calls.
template <typename Pool>
bool goes_on(Pool& pool) {
  return pool.submit(&multiply, 6, 7).get() == 42;
}

}  // namespace

TYPED_TEST(deadlock, an_error_when_a_call_is_encoded_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(submit(*pool, moment::encode_call, end::error).get(), disk_full);

  EXPECT_TRUE(goes_on(*pool));
}

TYPED_TEST(deadlock, an_exit_when_a_call_is_decoded_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(submit(*pool, moment::decode_call, end::exit).get(), worker_died);

  EXPECT_TRUE(goes_on(*pool));
}

TYPED_TEST(deadlock, an_error_when_a_call_is_decoded_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(submit(*pool, moment::decode_call, end::error).get(), std::runtime_error);

  EXPECT_TRUE(goes_on(*pool));
}

TYPED_TEST(deadlock, a_crash_when_a_call_is_decoded_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(submit(*pool, moment::decode_call, end::crash).get(), worker_died);

  EXPECT_TRUE(goes_on(*pool));
}

TYPED_TEST(deadlock, a_crash_in_a_call_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(pool->submit(&come_to_its_end, end::crash).get(), worker_died);

  EXPECT_TRUE(goes_on(*pool));
}

// SystemExit is an exception in Python; std::exit() ends the process.
TYPED_TEST(deadlock, an_exit_in_a_call_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(pool->submit(&come_to_its_end, end::exit).get(), worker_died);
  EXPECT_THROW(pool->submit(&exit_in_good_order, 0).get(), worker_died);

  EXPECT_TRUE(goes_on(*pool));
}

TYPED_TEST(deadlock, an_error_in_a_call_costs_no_worker) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const int pid = pool->submit(&process_id).get();

  EXPECT_THROW(pool->submit(&come_to_its_end, end::error).get(), std::runtime_error);

  EXPECT_EQ(pool->submit(&process_id).get(), pid);
}

TYPED_TEST(deadlock, a_crash_when_a_result_is_encoded_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(submit(*pool, moment::encode_result, end::crash).get(), worker_died);

  EXPECT_TRUE(goes_on(*pool));
}

TYPED_TEST(deadlock, an_exit_when_a_result_is_encoded_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(submit(*pool, moment::encode_result, end::exit).get(), worker_died);

  EXPECT_TRUE(goes_on(*pool));
}

TYPED_TEST(deadlock, an_error_when_a_result_is_encoded_costs_no_worker) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const int pid = pool->submit(&process_id).get();

  EXPECT_THROW(submit(*pool, moment::encode_result, end::error).get(), std::runtime_error);

  EXPECT_EQ(pool->submit(&process_id).get(), pid);
}

TYPED_TEST(deadlock, an_error_when_a_result_is_decoded_costs_no_worker) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const int pid = pool->submit(&process_id).get();

  EXPECT_THROW(submit(*pool, moment::decode_result, end::error).get(), disk_full);

  EXPECT_EQ(pool->submit(&process_id).get(), pid);
}

TYPED_TEST(deadlock, shutdown_returns_when_a_worker_crashes_meanwhile) {
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto f = pool->submit(&wait_then_die, here.handle());
  here.await_arrivals(1);
  other_thread closer{[&] { pool->shutdown(); }};

  closer.await_asleep();
  here.open();
  closer.join();

  EXPECT_THROW(f.get(), worker_died);
}

TYPED_TEST(deadlock, shutdown_without_wait_right_after_an_error_in_encoding_returns) {
  future<mine> f;
  {
    const auto pool = TypeParam::make({.max_workers = 1});
    f = submit(*pool, moment::encode_call, end::error);
    pool->shutdown({.wait = false});
  }

  EXPECT_THROW(f.get(), disk_full);
}

// gh-94777: what is being written to a worker is more than any buffer holds when it dies.
TYPED_TEST(deadlock, a_crash_while_large_arguments_are_sent_costs_that_call) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const std::string large(std::size_t{3} << 20, 'x');

  const auto first = pool->submit(&die_of, large);
  const auto second = pool->submit(&die_of, large);

  EXPECT_THROW(first.get(), worker_died);
  EXPECT_THROW(second.get(), worker_died);
  EXPECT_TRUE(goes_on(*pool));
}

TYPED_TEST(deadlock, a_crash_while_large_arguments_are_sent_can_cost_the_pool) {
  const auto pool =
      TypeParam::make({.max_workers = 1, .on_worker_death = on_worker_death::break_pool});
  const std::string large(std::size_t{3} << 20, 'x');

  const auto first = pool->submit(&die_of, large);

  EXPECT_THROW(first.get(), broken_executor);
}

// gh-105829: as many wake-ups as filled CPython's pipe while nobody read it.
TYPED_TEST(deadlock, thousands_of_calls_queued_behind_one_all_run) {
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto first = pool->submit(&pass, here.handle(), 0);
  futures all;
  for (int i = 0; i < 3000; ++i) all.push_back(pool->submit(&multiply, i, 2));

  here.open();

  int i = 0;
  EXPECT_TRUE(std::ranges::all_of(all, [&](const auto& f) { return f.get() == 2 * i++; }));
  EXPECT_EQ(first.get(), 0);
}

}  // namespace cadre::test
