// SPDX-License-Identifier: MIT
// process_pool_options::max_pending_bytes: a bound on the arguments of calls that are not done.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>

#include <future>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/says.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

constexpr std::size_t bound = 100'000;
const std::string large(bound, 'x');

int pass_with(const std::string& text, gate_handle at) {
  return pass(at, static_cast<int>(text.size()));
}
int size_of(const std::string& text) { return static_cast<int>(text.size()); }

class pending_bytes : public testing::Test {
 protected:
  static process_pool_options options(when_full then) {
    process_pool_options all;
    all.max_workers = 1;
    all.max_pending_bytes = bound;
    all.when_full = then;
    return all;
  }

  /// The pool is full of a call that runs.
  future<int> fill(process_pool_executor& pool) {
    auto running = pool.submit(&pass_with, large, here.handle());
    here.await_arrivals(1);
    return running;
  }

  const gate here;
};

}  // namespace

TEST_F(pending_bytes, submit_waits_while_the_arguments_of_others_take_as_much) {
  process_pool_executor pool{options(when_full::block)};
  const auto running = fill(pool);

  auto submits = std::async(std::launch::async, [&] { return pool.submit(&size_of, large); });
  EXPECT_EQ(submits.wait_for(short_time), std::future_status::timeout);
  here.open();

  EXPECT_EQ(submits.get().get_for(medium_time), static_cast<int>(bound));
  EXPECT_EQ(running.get_for(medium_time), static_cast<int>(bound));
}

TEST_F(pending_bytes, many_submitters_wait_and_all_go_on) {
  process_pool_executor pool{options(when_full::block)};
  const auto running = fill(pool);

  std::vector<std::future<future<int>>> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(std::async(std::launch::async, [&] { return pool.submit(&size_of, large); }));
  }
  EXPECT_EQ(all.back().wait_for(short_time), std::future_status::timeout);
  here.open();

  for (auto& each : all) EXPECT_EQ(each.get().get_for(long_time), static_cast<int>(bound));
}

TEST_F(pending_bytes, calls_are_refused_if_the_pool_is_to_reject) {
  process_pool_executor pool{options(when_full::reject)};
  const auto running = fill(pool);

  EXPECT_TRUE(says(message_of<queue_full>([&] { static_cast<void>(pool.submit(&size_of, large)); }),
                   "100000 bytes that max_pending_bytes allows"));
  here.open();
  running.get_for(medium_time);

  EXPECT_EQ(pool.submit(&size_of, large).get_for(medium_time), static_cast<int>(bound));
}

TEST_F(pending_bytes, a_cancelled_call_makes_room) {
  process_pool_executor pool{options(when_full::reject)};
  const auto running = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  const auto pending = pool.submit(&size_of, large);
  ASSERT_THROW(static_cast<void>(pool.submit(&size_of, large)), queue_full);

  ASSERT_TRUE(pending.cancel());

  const auto next = pool.submit(&size_of, large);
  here.open();
  EXPECT_EQ(next.get_for(medium_time), static_cast<int>(bound));
}

TEST_F(pending_bytes, a_worker_that_dies_makes_room) {
  process_pool_executor pool{options(when_full::block)};
  const auto running = fill(pool);

  auto submits = std::async(std::launch::async, [&] { return pool.submit(&size_of, large); });
  EXPECT_EQ(submits.wait_for(short_time), std::future_status::timeout);
  pool.kill_workers();

  EXPECT_THROW(submits.get().get_for(medium_time), std::runtime_error);
  EXPECT_THROW(running.get_for(medium_time), std::runtime_error);
}

TEST_F(pending_bytes, shutdown_ends_the_wait_for_room) {
  process_pool_executor pool{options(when_full::block)};
  const auto running = fill(pool);

  auto submits = std::async(std::launch::async, [&] { return pool.submit(&size_of, large); });
  EXPECT_EQ(submits.wait_for(short_time), std::future_status::timeout);
  pool.shutdown({.wait = false});

  EXPECT_THROW(static_cast<void>(submits.get()), shutdown_error);
  here.open();
}

TEST_F(pending_bytes, there_is_room_as_soon_as_the_result_is_seen) {
  process_pool_executor pool{options(when_full::reject)};

  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(pool.submit(&size_of, large).get_for(medium_time), static_cast<int>(bound));
  }
}

TEST_F(pending_bytes, a_callback_finds_the_room_of_its_call) {
  process_pool_executor pool{options(when_full::reject)};
  for (int i = 0; i < 50; ++i) {
    std::promise<int> next;
    auto result = next.get_future();
    pool.submit(&size_of, large).add_done_callback([&](const future<int>&) {
      try {
        next.set_value(pool.submit(&size_of, large).get_for(medium_time));
      } catch (...) {
        next.set_exception(std::current_exception());
      }
    });

    EXPECT_EQ(result.get(), static_cast<int>(bound));
  }
}

TEST_F(pending_bytes, a_call_that_waits_for_room_expires) {
  process_pool_executor pool{options(when_full::block)};
  const auto running = fill(pool);

  const auto late = pool.submit({.expires_in = short_time}, &size_of, large);

  EXPECT_THROW(late.get_for(medium_time), timeout_error);
  here.open();
}

TEST_F(pending_bytes, may_have_no_bound) {
  auto unbounded = options(when_full::reject);
  unbounded.max_pending_bytes.reset();
  process_pool_executor pool{std::move(unbounded)};
  const auto running = fill(pool);

  const auto next = pool.submit(&size_of, large);
  here.open();

  EXPECT_EQ(next.get_for(medium_time), static_cast<int>(bound));
}

TEST_F(pending_bytes, of_none_are_refused) {
  auto none = options(when_full::block);
  none.max_pending_bytes = 0;
  EXPECT_TRUE(
      says(message_of<std::invalid_argument>([&] { process_pool_executor{std::move(none)}; }),
           "max_pending_bytes"));
}

}  // namespace cadre::test
