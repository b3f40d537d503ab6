// SPDX-License-Identifier: MIT
// Long chains of futures: each link is completed, waited for and destroyed without recursion, and keeps
// nothing of those before it. Peers, and this library once, overflow the stack here.
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <pthread.h>

#include <exception>
#include <functional>
#include <latch>
#include <memory>
#include <utility>
#include <vector>

#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

// A frame for each link would need more than 20 bytes of stack, of which there are:
constexpr std::size_t stack_size = std::size_t{256} << 10;
constexpr int links = under_tsan || under_asan ? 5'000 : 20'000;

/// Runs `body` on a thread with a small stack.
void on_small_stack(std::function<void()> body) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, stack_size), 0);
  pthread_t thread{};
  const auto run = [](void* given) -> void* {
    (*static_cast<std::function<void()>*>(given))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, run, &body), 0);
  pthread_attr_destroy(&attributes);
  pthread_join(thread, nullptr);
}

future<int> chain_behind(future<int> first) {
  for (int i = 0; i < links; ++i) first = first.then([](int n) { return n + 1; });
  return first;
}

TEST(chain_of_then, takes_no_stack_when_it_has_a_value) {
  on_small_stack([] {
    promise<int> start;
    const future<int> last = chain_behind(start.get_future());

    start.set_value(0);

    EXPECT_EQ(last.get(), links);
  });
}

TEST(chain_of_then, takes_no_stack_when_it_fails) {
  on_small_stack([] {
    promise<int> start;
    const future<int> last = chain_behind(start.get_future());

    start.set_exception(std::make_exception_ptr(7));

    EXPECT_THROW(last.get(), int);
  });
}

TEST(chain_of_then, takes_no_stack_when_its_promise_is_broken) {
  on_small_stack([] {
    future<int> last;
    {
      promise<int> start;
      last = chain_behind(start.get_future());
    }
    EXPECT_THROW(last.get(), broken_promise);
  });
}

TEST(chain_of_then, takes_no_stack_when_its_begin_is_cancelled) {
  on_small_stack([] {
    promise<int> start;
    const future<int> first = start.get_future();
    const future<int> last = chain_behind(first);

    first.cancel();

    EXPECT_TRUE(last.cancelled());
  });
}

TEST(chain_of_then, takes_no_stack_when_its_end_is_dropped) {
  on_small_stack([] {
    promise<int> start;
    chain_behind(start.get_future()) = {};

    start.set_value(0);
  });
}

TEST(chain_of_then, takes_no_stack_when_each_link_is_done_at_once) {
  on_small_stack([] {
    promise<int> start;
    start.set_value(0);

    future<int> last = chain_behind(start.get_future());

    EXPECT_EQ(last.get(), links);
    last = {};
  });
}

TEST(chain_of_then, takes_no_stack_on_an_inline_executor) {
  on_small_stack([] {
    inline_executor here;
    promise<int> start;
    future<int> last = start.get_future();
    for (int i = 0; i < links; ++i) last = last.then(here, [](int n) { return n + 1; });

    start.set_value(0);

    EXPECT_EQ(last.get(), links);
  });
}

TEST(chain_of_then, takes_no_stack_when_a_worker_waits_for_its_end) {
  on_small_stack([] {
    thread_pool_executor pool{{.max_workers = 1}};
    promise<int> start;
    future<int> last = start.get_future();
    for (int i = 0; i < links; ++i) last = last.then(pool, [](int n) { return n + 1; });
    std::latch waits{1};
    auto waiter = pool.submit([&waits, last] {
      waits.count_down();
      return last.get();
    });
    waits.wait();

    start.set_value(0);

    EXPECT_EQ(waiter.get(), links);
  });
}

TEST(chain_of_then, keeps_no_value_but_the_last) {
  std::vector<std::weak_ptr<int>> values;
  const auto make = [&values] {
    auto value = std::make_shared<int>(0);
    values.push_back(value);
    return value;
  };
  future<std::shared_ptr<int>> last;
  {
    promise<std::shared_ptr<int>> start;  // which keeps its state, too
    start.set_value(make());
    last = start.get_future();
  }

  for (int i = 0; i < 10; ++i) last = last.then([&](const auto&) { return make(); });

  ASSERT_EQ(values.size(), 11U);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(values[static_cast<std::size_t>(i)].expired()) << i;
  EXPECT_FALSE(values.back().expired());
}

template <typename Executor>
long uses_after_then_on(Executor& where) {
  const auto value = std::make_shared<int>(1);
  for (int i = 0; i < 10; ++i) {
    const auto first = where.submit([value] { return value; });
    first.then(where, [](const auto& v) { return v; }).get();
  }
  where.shutdown();
  return value.use_count();
}

TEST(then_on_an_executor, keeps_nothing) {
  thread_pool_executor pool{2};
  inline_executor here;

  EXPECT_EQ(uses_after_then_on(pool), 1);
  EXPECT_EQ(uses_after_then_on(here), 1);
}

TEST(then_on_an_executor, that_refuses_keeps_nothing) {
  thread_pool_executor pool{1};
  pool.shutdown();
  const auto value = std::make_shared<int>(1);
  {
    promise<std::shared_ptr<int>> start;
    const auto next = start.get_future().then(pool, [](const auto& v) { return v; });
    start.set_value(value);
    EXPECT_THROW(next.get(), shutdown_error);
  }
  EXPECT_EQ(value.use_count(), 1);
}

TEST(nested_when_all, takes_no_stack) {
  on_small_stack([] {
    promise<int> start;
    auto last = start.get_future().then([](int) {});
    for (int i = 0; i < links / 10; ++i)
      last = when_all(std::vector{last}).then([](const auto&) {});

    start.set_value(0);

    EXPECT_TRUE(last.done());
  });
}

struct link {
  future<std::shared_ptr<link>> before;
};

TEST(futures_in_values_of_futures, are_destroyed_without_recursion) {
  on_small_stack([] {
    std::weak_ptr<link> first;
    future<std::shared_ptr<link>> last;
    for (int i = 0; i < links; ++i) {
      auto value = std::make_shared<link>(link{std::move(last)});
      if (i == 0) first = value;
      promise<std::shared_ptr<link>> next;
      next.set_value(std::move(value));
      last = next.get_future();
    }

    last = {};

    EXPECT_TRUE(first.expired());
  });
}

TEST(a_promise_that_a_callback_sets, has_its_continuations_run_before_set_value_returns) {
  promise<int> outer;
  promise<int> inner;
  int seen = 0;
  const auto doubled = inner.get_future().then([](int n) { return 2 * n; });
  outer.get_future().add_done_callback([&](const future<int>& f) {
    inner.set_value(f.get());
    seen = doubled.get_for(long_time);  // by no other thread
  });

  outer.set_value(21);

  EXPECT_EQ(seen, 42);
}

TEST(callbacks_of_a_chain, run_in_the_order_in_which_they_were_added) {
  promise<int> start;
  std::vector<int> order;
  const auto first = start.get_future();
  first.add_done_callback([&](const auto&) { order.push_back(1); });
  const auto next = first.then([&](int n) { return order.push_back(2), n; });
  first.add_done_callback([&](const auto&) { order.push_back(3); });
  next.add_done_callback([&](const auto&) { order.push_back(4); });

  start.set_value(0);

  EXPECT_EQ(order, (std::vector{1, 2, 3, 4}));
}

}  // namespace
}  // namespace cadre::test
