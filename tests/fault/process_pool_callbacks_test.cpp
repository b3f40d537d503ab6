// SPDX-License-Identifier: MIT
// The user's code in callbacks, in functions given to then() and in codecs: it may wait for calls of its
// own pool, and if it blocks, the pool goes on.
#include <cadre/process_pool_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono::milliseconds;

int nap(int ms) {
  std::this_thread::sleep_for(milliseconds{ms});
  return ms;
}

/// What the decoding of a result does, in the process that submitted the call.
std::function<int()> on_decode;

struct decoded_by_the_user {
  int value = 0;
};

/// Waits in a callback of a call of `pool` for what `inner` returns; true if that is there in time.
template <typename Inner>
int inside_a_callback(process_pool_executor& pool, Inner inner, bool somebody_waits) {
  const gate here;
  std::promise<int> told;
  auto outer = pool.submit(&pass, here.handle(), 1);
  outer.add_done_callback([&](const future<int>&) {
    try {
      told.set_value(inner());
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
      told.set_value(-1);
    }
  });
  here.await_arrivals(1);
  auto result = told.get_future();
  if (somebody_waits) {
    std::thread opener{[&] { here.open(); }};
    outer.get();
    opener.join();
  } else {
    here.open();
  }
  if (result.wait_for(long_time) != std::future_status::ready) return -2;
  return result.get();
}

}  // namespace
}  // namespace cadre::test

template <>
struct cadre::codec<cadre::test::decoded_by_the_user> {
  static void encode(encoder& out, const test::decoded_by_the_user& v) { out.write(v.value); }
  static test::decoded_by_the_user decode(decoder& in) {
    const int value = in.read<int>();
    return {test::on_decode ? test::on_decode() : value};
  }
};

namespace cadre::test {
namespace {

decoded_by_the_user make(int value) { return {value}; }
decoded_by_the_user make_at(gate_handle at, int value) { return {pass(at, value)}; }

}  // namespace

/// Who reads the answer: a thread of the pool, or one that waits for the call.
class process_pool_callbacks : public testing::TestWithParam<bool> {};

TEST_P(process_pool_callbacks, may_wait_for_a_call_that_takes_a_while) {
  process_pool_executor pool{2};

  EXPECT_EQ(inside_a_callback(
                pool, [&] { return pool.submit(&nap, 5).get(); }, GetParam()),
            5);
}

TEST_P(process_pool_callbacks, may_wait_for_a_call_whose_worker_dies) {
  process_pool_executor pool{2};
  const auto inner = [&] {
    const auto f = pool.submit(&end, way::is_killed);
    f.wait();
    return f.exception() != nullptr ? 1 : 0;
  };

  EXPECT_EQ(inside_a_callback(pool, inner, GetParam()), 1);
}

TEST_P(process_pool_callbacks, may_wait_for_the_then_of_a_call) {
  process_pool_executor pool{2};
  const auto inner = [&] { return pool.submit(&nap, 5).then([](int ms) { return ms + 1; }).get(); };

  EXPECT_EQ(inside_a_callback(pool, inner, GetParam()), 6);
}

TEST_P(process_pool_callbacks, may_wait_for_two_calls_at_once) {
  process_pool_executor pool{1};
  const auto inner = [&] {
    const std::vector calls{pool.submit(&nap, 5), pool.submit(&nap, 6)};
    wait(calls);
    return calls[0].get() + calls[1].get();
  };

  EXPECT_EQ(inside_a_callback(pool, inner, GetParam()), 11);
}

TEST_P(process_pool_callbacks, may_wait_for_a_result_that_the_user_decodes) {
  process_pool_executor pool{2};

  EXPECT_EQ(inside_a_callback(
                pool, [&] { return pool.submit(&make, 7).get().value; }, GetParam()),
            7);
}

TEST_P(process_pool_callbacks, decode_may_use_the_pool) {
  const gate here;
  process_pool_executor pool{2};
  on_decode = [&] { return pool.submit(&nap, 5).get(); };
  const auto f = pool.submit(&make_at, here.handle(), 1);
  here.await_arrivals(1);

  here.open();
  if (GetParam()) {
    EXPECT_EQ(f.get().value, 5);
  } else {
    while (!f.done()) std::this_thread::yield();
    EXPECT_EQ(f.get().value, 5);
  }
  on_decode = nullptr;
}

INSTANTIATE_TEST_SUITE_P(read_by, process_pool_callbacks, testing::Bool(),
                         [](const auto& by) { return by.param ? "a_waiter" : "the_pool"; });

/// Pools one of whose callbacks blocks.
class process_pool_blocked : public testing::Test {
 protected:
  void block_a_callback(process_pool_executor& pool) {
    pool.submit(&add_one, 0).add_done_callback([this](const future<int>&) {
      begun_.set_value();
      over_.get_future().wait();
    });
    begun_.get_future().wait();
  }
  void go_on() { over_.set_value(); }  // before the pool ends, which waits for its callbacks

  std::promise<void> begun_;
  std::promise<void> over_;
};

TEST_F(process_pool_blocked, a_time_limit_holds_meanwhile) {
  process_pool_executor pool{2};
  block_a_callback(pool);

  const auto f = pool.submit({.timeout = short_time, .grace = milliseconds{10}}, &nap, 60'000);

  failure_of<timeout_error>(f);
  go_on();
}

TEST_F(process_pool_blocked, deaths_are_noticed_and_workers_started_meanwhile) {
  process_pool_executor pool{1};
  block_a_callback(pool);

  const auto died = pool.submit(&end, way::is_killed);

  EXPECT_EQ(death_of(died).signal, SIGKILL);
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
  go_on();
}

TEST_F(process_pool_blocked, other_callbacks_run_meanwhile) {
  process_pool_executor pool{2};
  block_a_callback(pool);

  EXPECT_EQ(pool.submit(&add_one, 1).then([](int n) { return n + 1; }).get_for(medium_time), 3);
  go_on();
}

TEST(process_pool_many_callbacks, may_all_wait_for_calls_of_their_pool_at_once) {
  constexpr int count = 200;
  process_pool_executor pool{2};
  std::atomic<int> waiting{0};
  std::atomic<int> right{0};
  promise<void> all_wait;
  const auto all_there = all_wait.get_future();
  std::vector<future<int>> calls;
  for (int i = 0; i < count; ++i) {
    calls.push_back(pool.submit(&add_one, i).then([&, i](int) {
      // A result that the user decodes, and a then() of that: each needs a thread of the pool.
      auto inner = pool.submit(&make, i).then([](const decoded_by_the_user& v) { return v.value; });
      if (++waiting == count) all_wait.set_value();
      all_there.wait();
      if (inner.get() == i) ++right;
      return i;
    }));
  }

  for (int i = 0; i < count; ++i) EXPECT_EQ(calls[std::size_t(i)].get_for(long_time), i);
  EXPECT_EQ(right, count);
}

TEST(process_pool_many_callbacks, run_with_the_signals_of_who_made_the_pool) {
  process_pool_executor pool{1};

  const bool blocked = pool.submit(&add_one, 1)
                           .then([](int) {
                             sigset_t now;
                             ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
                             return ::sigismember(&now, SIGTERM) == 1;
                           })
                           .get_for(medium_time);

  EXPECT_FALSE(blocked);
}

TEST(process_pool_many_callbacks, may_end_their_pool) {
  auto pool = std::make_unique<process_pool_executor>(1);
  std::promise<bool> complete;
  pool->submit(&make, 1).add_done_callback(
      [&](const future<decoded_by_the_user>&) { complete.set_value(pool->shutdown().complete); });

  EXPECT_FALSE(complete.get_future().get()) << "it does not wait for its own callback";
  EXPECT_TRUE(pool->shutdown().complete);
}

}  // namespace cadre::test
