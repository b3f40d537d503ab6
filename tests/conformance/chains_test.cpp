// SPDX-License-Identifier: MIT
// What chains are made of beside then(): futures that are ready, functions that return futures, handlers of
// errors, last steps, and the values of a when_all.
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <cadre/timer.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

int halve(int n) {
  if (n % 2 != 0) throw std::domain_error{"odd"};
  return n / 2;
}

template <typename T>
std::string what_of(const future<T>& f) {
  try {
    f.get();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing";
}

}  // namespace

// --- ready_future, failed_future ---

TEST(ready_future, has_its_value_at_once) {
  const auto f = ready_future(std::string{"here"});
  static_assert(std::is_same_v<decltype(f), const future<std::string>>);
  EXPECT_TRUE(f.done());
  EXPECT_EQ(f.get(), "here");
  EXPECT_TRUE(ready_future().done());
  EXPECT_EQ(*ready_future(std::make_unique<int>(7)).take(), 7);
}

TEST(failed_future, has_its_exception_at_once) {
  const auto f = failed_future<int>(std::out_of_range{"far"});
  EXPECT_TRUE(f.done());
  EXPECT_THROW(f.get(), std::out_of_range);
  const auto same = failed_future<void>(f.exception());
  EXPECT_EQ(same.exception(), f.exception());
  EXPECT_THROW(static_cast<void>(failed_future<int>(std::exception_ptr{})), invalid_state_error);
}

// --- functions that return futures ---

TEST(then_flattens, a_future_that_comes_later) {
  promise<int> outer;
  promise<std::string> inner;
  auto f = outer.get_future().then([&](int) { return inner.get_future(); });
  static_assert(std::is_same_v<decltype(f), future<std::string>>);

  outer.set_value(1);
  EXPECT_FALSE(f.done());
  inner.set_value("end");
  EXPECT_EQ(f.get(), "end");
  EXPECT_EQ(inner.get_future().get(), "end") << "other handles keep the value";
}

TEST(then_flattens, values_that_are_there_already_also_void_and_references) {
  int place = 3;
  EXPECT_EQ(ready_future(1).then([](int n) { return ready_future(n + 1); }).get(), 2);
  ready_future().then([] { return ready_future(); }).get();
  thread_pool_executor pool{1};
  const auto reference =
      ready_future().then([&] { return pool.submit([&]() -> int& { return place; }); });
  EXPECT_EQ(&reference.get(), &place);
}

TEST(then_flattens, a_value_that_cannot_be_copied_by_moving_it) {
  auto f = ready_future(5).then([](int n) { return ready_future(std::make_unique<int>(n)); });
  EXPECT_EQ(*f.take(), 5);
}

TEST(then_flattens, errors_of_either_future) {
  const auto outer =
      failed_future<int>(std::domain_error{"outer"}).then([](int) { return ready_future(1); });
  const auto inner =
      ready_future(1).then([](int) { return failed_future<int>(std::domain_error{"inner"}); });
  const auto thrown = ready_future(1).then(
      [](int n) -> future<int> { throw std::domain_error{"thrown " + std::to_string(n)}; });
  EXPECT_EQ(what_of(outer), "outer");
  EXPECT_EQ(what_of(inner), "inner");
  EXPECT_EQ(what_of(thrown), "thrown 1");
}

TEST(then_flattens, cancellations_of_either_future) {
  promise<int> outer;
  promise<int> inner;
  auto upstream = outer.get_future();
  const auto of_outer = upstream.then([](int) { return ready_future(1); });
  const auto of_inner = ready_future(1).then([&](int) { return inner.get_future(); });
  upstream.cancel();
  inner.get_future().cancel();
  EXPECT_TRUE(of_outer.cancelled());
  EXPECT_TRUE(of_inner.cancelled());
}

TEST(then_flattens, an_empty_future_into_an_error) {
  const auto f = ready_future(1).then([](int) { return future<int>{}; });
  EXPECT_THROW(f.get(), invalid_state_error);
}

TEST(then_flattens, calls_of_a_pool_and_a_wait_on_its_only_worker) {
  thread_pool_executor pool{1};
  const auto f = pool.submit([&] {
    return pool.submit(&halve, 8).then([&](int n) { return pool.submit(&halve, n); }).get();
  });
  ASSERT_TRUE(f.wait_for(long_time));
  EXPECT_EQ(f.get(), 2);
}

TEST(then_flattens, a_million_in_a_row_without_stack) {
  promise<int> first;
  auto f = first.get_future();
  for (int i = 0; i < 1'000'000; ++i) f = f.then([](int n) { return ready_future(n + 1); });
  first.set_value(0);
  EXPECT_EQ(f.get(), 1'000'000);
}

TEST(then_flattens, and_passes_on_a_cancel_to_what_has_not_begun) {
  promise<int> outer;
  promise<int> inner;
  int runs = 0;
  auto first = outer.get_future();
  const auto before = first.then([&](int) { return ++runs, ready_future(1); });
  const auto between = ready_future(1).then([&](int) { return inner.get_future(); });
  EXPECT_TRUE(before.cancel());
  EXPECT_TRUE(before.cancel());
  EXPECT_TRUE(between.cancel());
  outer.set_value(1);
  EXPECT_EQ(runs, 0);
  EXPECT_FALSE(first.cancelled());
  EXPECT_TRUE(inner.get_future().cancelled());
}

TEST(then_flattens, and_passes_on_a_stop_to_what_runs_or_comes) {
  thread_pool_executor pool{2};
  const gate here;
  const auto run = [at = here.handle()](std::stop_token stop) {
    arrive(at, 0);
    while (!stop.stop_requested()) std::this_thread::yield();
    return 1;
  };
  const auto running = ready_future(1).then([&](int) { return pool.submit(run); });
  here.await_arrivals(1);
  EXPECT_TRUE(running.request_stop());
  EXPECT_EQ(running.get(), 1);

  const gate in_function;
  const auto coming = pool.submit([] { return 1; }).then(pool, [&, at = in_function.handle()](int) {
    pass(at, 0);
    return pool.submit(run);
  });
  in_function.await_arrivals(1);
  EXPECT_TRUE(coming.request_stop());
  in_function.open();
  EXPECT_TRUE(coming.wait_for(long_time));
}

TEST(then_flattens, and_cancel_and_wait_waits_for_its_function) {
  thread_pool_executor pool{2};
  const gate here;
  std::atomic<bool> ended{false};
  const auto f = ready_future(1).then(pool, [&, at = here.handle()](int) {
    pass(at, 0);
    ended = true;
    return ready_future(1);
  });
  here.await_arrivals(1);
  std::jthread opener{[&] { here.open(); }};
  cancel_and_wait(f);
  EXPECT_TRUE(ended);
}

TEST(then_flattens, its_own_future_into_an_error) {
  promise<int> p;
  future<int> self;
  self = p.get_future().then([&self](int) { return self; });
  p.set_value(1);
  EXPECT_THROW(self.get(), deadlock_error);
  self = {};
}

TEST(then_flattens, not_what_then_error_and_finally_pass_on) {
  thread_pool_executor pool{2};
  auto nested = pool.submit([&] { return pool.submit(&halve, 4); });
  static_assert(std::is_same_v<decltype(nested), future<future<int>>>);
  const auto last = nested.finally([] {});
  const auto handled = nested.then_error([](const auto&) { return ready_future(0); });
  EXPECT_EQ(last.get().get(), 2);
  EXPECT_EQ(handled.get().get(), 2);
}

TEST(then_flattens, and_keeps_no_value_for_longer) {
  auto value = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = value;
  promise<std::shared_ptr<int>> first;
  auto last = first.get_future()
                  .then([](const auto& v) { return ready_future(v); })
                  .then([](const auto& v) { return ready_future(*v); });
  first.set_value(std::move(value));
  first = {};
  EXPECT_EQ(last.get(), 1);
  EXPECT_TRUE(alive.expired());
}

// --- then_error ---

TEST(then_error, handles_what_it_names_and_passes_on_the_rest) {
  thread_pool_executor pool{1};
  const auto odd = pool.submit(&halve, 3);
  EXPECT_EQ(
      odd.then_error([](const std::exception& e) { return static_cast<int>(e.what()[0]); }).get(),
      'o');
  EXPECT_EQ(odd.then_error<std::domain_error>([](const auto&) { return -1; }).get(), -1);
  EXPECT_THROW(odd.then_error<std::bad_alloc>([](const auto&) { return -1; }).get(),
               std::domain_error);
  EXPECT_EQ(pool.submit(&halve, 8).then_error([](const auto&) { return -1; }).get(), 4);
}

TEST(then_error, may_throw_another) {
  const auto f =
      failed_future<int>(std::domain_error{"a"}).then_error([](const std::exception& e) -> int {
        throw std::runtime_error{std::string{e.what()} + "b"};
      });
  EXPECT_EQ(what_of(f), "ab");
}

TEST(then_error, runs_where_it_is_told_to) {
  thread_pool_executor pool{1};
  const auto worker = pool.submit([] { return std::this_thread::get_id(); }).get();
  const auto f =
      failed_future<std::thread::id>(std::domain_error{"a"}).then_error(pool, [](const auto&) {
        return std::this_thread::get_id();
      });
  EXPECT_EQ(f.get(), worker);
}

TEST(then_error, takes_a_cancellation_for_an_error) {
  promise<int> p;
  const auto f = p.get_future().then_error<cancelled_error>([](const auto&) { return -1; });
  const auto other = p.get_future().then_error<std::bad_alloc>([](const auto&) { return -1; });
  p.get_future().cancel();
  EXPECT_EQ(f.get(), -1);
  EXPECT_TRUE(other.cancelled());
}

TEST(then_error, observes_what_it_handles) {
  const unhandled_log log;
  {
    const auto f =
        failed_future<int>(std::domain_error{"a"}).then_error([](const auto&) { return 1; });
    EXPECT_EQ(f.get(), 1);
  }
  EXPECT_EQ(log.entries(), std::vector<std::string>{});
}

// --- finally ---

TEST(finally, runs_however_the_call_ended_and_passes_that_on) {
  int runs = 0;
  const auto count = [&runs] { ++runs; };
  promise<int> p;
  p.get_future().cancel();
  EXPECT_EQ(ready_future(4).finally(count).get(), 4);
  EXPECT_EQ(what_of(failed_future<int>(std::domain_error{"a"}).finally(count)), "a");
  const unhandled_log log;
  EXPECT_TRUE(p.get_future().finally(count).cancelled());
  EXPECT_EQ(log.entries(), std::vector<std::string>{});
  ready_future().finally(count).get();
  EXPECT_EQ(runs, 4);
}

TEST(finally, fails_if_its_function_does) {
  EXPECT_EQ(what_of(ready_future(1).finally([] { throw std::runtime_error{"late"}; })), "late");
}

// --- unpack ---

TEST(unpack, gives_the_values_of_a_tuple) {
  thread_pool_executor pool{2};
  const auto f =
      when_all(pool.submit(&halve, 4), ready_future(std::string{"x"}), ready_future())
          .then(unpack([](int n, const std::string& s) { return s + std::to_string(n); }));
  EXPECT_EQ(f.get(), "x2");
}

TEST(unpack, gives_the_values_of_a_vector) {
  thread_pool_executor pool{2};
  const auto sum = [](const std::vector<int>& all) {
    int total = 0;
    for (const int n : all) total += n;
    return total;
  };
  EXPECT_EQ(when_all(pool.submit_bulk(&halve, std::vector{2, 4, 6})).then(unpack(sum)).get(), 6);
  EXPECT_EQ(
      when_all(std::vector<future<void>>{ready_future()}).then(unpack([] { return 1; })).get(), 1);
}

TEST(unpack, passes_on_the_first_error_in_their_order) {
  const auto f = when_all(ready_future(1), failed_future<int>(std::domain_error{"second"}),
                          failed_future<int>(std::domain_error{"third"}))
                     .then(unpack([](int, int, int) { return 0; }));
  EXPECT_EQ(what_of(f), "second");
}

}  // namespace cadre::test
