// SPDX-License-Identifier: MIT
// A call can ask which worker runs it.
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/this_worker.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "conformance/process_pools.hpp"
#include "support/gate.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class this_worker_in_pools : public testing::Test {};
TYPED_TEST_SUITE(this_worker_in_pools, pools, executor_names);

int index_behind(gate_handle at) {
  pass(at, 0);
  return static_cast<int>(this_worker::index().value_or(99));
}

std::string pool_here() { return std::string{this_worker::pool()}; }

struct counter {
  explicit counter(int first) : next{first} {}
  int next;
};
void make_counter() { this_worker::emplace_context<counter>(40); }
int count() { return ++this_worker::context<counter>()->next; }
bool has_no_text() { return this_worker::context<std::string>() == nullptr; }

bool token_is_here(std::stop_token given) { return this_worker::stop_token() == given; }
bool no_token_is_here() { return !this_worker::stop_token().stop_possible(); }

}  // namespace

TYPED_TEST(this_worker_in_pools, the_index_tells_workers_apart) {
  const gate here;
  const auto pool = TypeParam::make(2);
  const std::vector both{pool->submit(&index_behind, here.handle()),
                         pool->submit(&index_behind, here.handle())};
  here.await_arrivals(2);
  here.open();

  std::vector<int> indices{both[0].get(), both[1].get()};
  std::ranges::sort(indices);

  EXPECT_EQ(indices, (std::vector{0, 1}));
}

TEST(this_worker, outside_of_pools_there_is_none) {
  EXPECT_FALSE(this_worker::index().has_value());
  EXPECT_EQ(this_worker::pool(), "");
}

TEST(this_worker, in_a_thread_pool_knows_its_name) {
  thread_pool_executor pool{{.max_workers = 1, .thread_name_prefix = "crew"}};

  EXPECT_EQ(pool.submit(&pool_here).get(), "crew");
}

TEST(this_worker, in_a_worker_process_knows_its_name) {
  process_pool_executor pool{{.max_workers = 1, .name = "crew"}};

  EXPECT_EQ(pool.submit(&pool_here).get(), "crew");
}

TEST(this_worker, name_is_pool_and_number) {
  thread_pool_executor pool{{.max_workers = 1, .thread_name_prefix = "crew"}};

  EXPECT_EQ(pool.submit([] { return this_worker::name(); }).get(), "crew_0");
  EXPECT_EQ(this_worker::name(), "");
}

TEST(this_worker, executor_is_its_pool) {
  thread_pool_executor pool{1};
  inline_executor here;

  EXPECT_EQ(pool.submit([] { return this_worker::executor(); }).get(), &pool);
  EXPECT_EQ(here.submit([] { return this_worker::executor(); }).get(), nullptr);
  EXPECT_EQ(this_worker::executor(), nullptr);
}

TEST(this_worker, executor_is_none_once_a_call_has_destroyed_it) {
  const gate here;
  auto pool = std::make_unique<thread_pool_executor>(1);
  const auto f = pool->submit([&pool, at = here.handle()] {
    pass(at, 0);
    pool.reset();
    return this_worker::executor();
  });
  here.open();  // not before submit() has returned

  EXPECT_EQ(f.get(), nullptr);
}

TYPED_TEST(this_worker_in_pools, stop_token_is_that_of_the_call) {
  const auto pool = TypeParam::make(1);

  EXPECT_TRUE(pool->submit(&token_is_here).get());
  EXPECT_TRUE(pool->submit(&no_token_is_here).get());
}

TEST(this_worker, stop_token_is_the_one_given_at_submit_to_a_call_that_takes_none) {
  thread_pool_executor pool{1};
  std::stop_source stop;

  const auto f = pool.submit({.stop_token = stop.get_token()},
                             [&] { return this_worker::stop_token() == stop.get_token(); });

  EXPECT_TRUE(f.get());
}

TEST(this_worker, stop_token_of_a_claimed_call_is_not_the_waiters) {
  thread_pool_executor pool{1};

  const auto f = pool.submit([&](std::stop_token stop) {
    const bool claimed = pool.submit(&no_token_is_here).get();
    return claimed && this_worker::stop_token() == stop;
  });

  EXPECT_TRUE(f.get());
}

TEST(this_worker, stop_token_of_a_call_that_runs_inline_is_not_the_submitters) {
  thread_pool_executor pool{1};
  inline_executor here;

  const auto f = pool.submit([&](std::stop_token stop) {
    const bool alone = here.submit(&no_token_is_here).get();
    return alone && this_worker::stop_token() == stop;
  });

  EXPECT_TRUE(f.get());
}

TEST(this_worker, stop_token_of_a_call_that_the_submitter_runs_is_not_its_own) {
  const gate busy;
  thread_pool_executor full{
      {.max_workers = 1, .max_pending = 1, .when_full = when_full::caller_runs}};
  const auto running = full.submit(&pass, busy.handle(), 0);
  busy.await_arrivals(1);
  const auto pending = full.submit([] {});
  inline_executor here;

  const auto f = here.submit([&](std::stop_token stop) {
    const bool alone = full.submit(&no_token_is_here).get();
    return alone && this_worker::stop_token() == stop;
  });

  EXPECT_TRUE(f.get());
  busy.open();
}

TEST(this_worker, stop_token_of_what_follows_a_future_is_not_that_of_the_call_that_sets_it) {
  thread_pool_executor pool{1};
  promise<int> p;
  const future<int> set = p.get_future();
  bool callback_had_none = false;
  set.add_done_callback([&](const future<int>&) { callback_had_none = no_token_is_here(); });
  const auto then_had_none = set.then([](int) { return no_token_is_here(); });

  const auto f = pool.submit([&](std::stop_token stop) {
    p.set_value(42);
    const auto at_once_had_none = set.then([](int) { return no_token_is_here(); });
    return at_once_had_none.get() && this_worker::stop_token() == stop;
  });

  EXPECT_TRUE(f.get());
  EXPECT_TRUE(then_had_none.get());
  EXPECT_TRUE(callback_had_none);
}

TEST(this_worker, context_in_a_thread_pool_is_what_the_initializer_made) {
  thread_pool_executor pool{{.max_workers = 1, .initializer = &make_counter}};

  EXPECT_EQ(pool.submit(&count).get(), 41);
  EXPECT_EQ(pool.submit(&count).get(), 42);
  EXPECT_TRUE(pool.submit(&has_no_text).get());
}

TEST(this_worker, context_in_a_worker_process_is_what_the_initializer_made) {
  process_pool_options options;
  options.max_workers = 1;
  options.initializer = &make_counter;
  process_pool_executor pool{std::move(options)};

  EXPECT_EQ(pool.submit(&count).get(), 41);
  EXPECT_EQ(pool.submit(&count).get(), 42);
}

TEST(this_worker, context_is_destroyed_on_its_worker_after_the_finalizer) {
  struct noisy {
    explicit noisy(std::vector<std::string>& l) : log{l} {}
    ~noisy() { log.push_back("destroyed on " + this_worker::name()); }
    std::vector<std::string>& log;
  };
  std::vector<std::string> log;
  {
    thread_pool_executor pool{{.max_workers = 1,
                               .thread_name_prefix = "crew",
                               .initializer = [&log] { this_worker::emplace_context<noisy>(log); },
                               .finalizer = [&log] { log.emplace_back("finalized"); }}};
    pool.submit([] {}).get();
  }

  EXPECT_EQ(log, (std::vector<std::string>{"finalized", "destroyed on crew_0"}));
}

TEST(this_worker, context_needs_a_worker) {
  EXPECT_THROW(this_worker::emplace_context<int>(1), invalid_state_error);
  EXPECT_EQ(this_worker::context<int>(), nullptr);
}

}  // namespace cadre::test
