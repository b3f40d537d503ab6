// SPDX-License-Identifier: MIT
// What submit() promises, whichever executor runs the call. Source: CPython's executor.py.
#include <cadre/executor.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class submit : public testing::Test {};
TYPED_TEST_SUITE(submit, all_executors, executor_names);

template <typename Traits>
class submit_to_pools : public testing::Test {};
TYPED_TEST_SUITE(submit_to_pools, pools, executor_names);

template <typename Traits>
class submit_in_process : public testing::Test {};
TYPED_TEST_SUITE(submit_in_process, local_executors, executor_names);

struct power {
  int exponent;
  int operator()(int base) const {
    int result = 1;
    for (int i = 0; i < exponent; ++i) result *= base;
    return result;
  }
};

int count_to(std::stop_token stop, gate_handle at, int limit) {
  arrive(at, 0);
  for (int i = 0; i < limit; ++i) {
    if (stop.stop_requested()) return i;
  }
  return limit;
}

int run_until_stopped(std::stop_token stop, gate_handle at) {
  arrive(at, 0);
  while (!stop.stop_requested()) std::this_thread::yield();
  return 42;
}

std::string echo(std::string text) { return text; }
void do_nothing() {}

}  // namespace

TYPED_TEST(submit, gives_what_the_call_returns) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(executor->submit(power{8}, 2).get(), 256);
}

TYPED_TEST(submit, passes_each_argument) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(executor->submit(&divide, 16, 2).get(), 8);
}

TYPED_TEST(submit, takes_a_captureless_lambda) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(executor->submit([](int n) { return n * 7; }, 6).get(), 42);
}

TYPED_TEST(submit, in_bulk_gives_a_future_for_each) {
  const auto executor = TypeParam::make(2);
  cadre::executor& any = *executor;

  const std::vector<future<int>> all = any.submit_bulk(power{2}, std::vector{1, 2, 3});

  ASSERT_EQ(all.size(), 3U);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), (i + 1) * (i + 1));

  std::stop_source stopped;
  stopped.request_stop();
  const auto none =
      executor->submit_bulk({.stop_token = stopped.get_token()}, power{2}, std::vector{1, 2});
  ASSERT_EQ(none.size(), 2U);
  EXPECT_TRUE(none[0].cancelled() && none[1].cancelled());
}

TYPED_TEST(submit, passes_strings) {
  const auto executor = TypeParam::make(2);
  const std::string text(10'000, 'x');

  EXPECT_EQ(executor->submit(&echo, text).get(), text);
}

TYPED_TEST(submit, passes_a_string_literal_as_a_string) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(executor->submit(&echo, "text").get(), "text");
  EXPECT_EQ(executor->submit({.name = "named"}, cadre::bind(&echo, "bound")).get(), "bound");
}

TYPED_TEST(submit, of_a_void_function_gives_a_future_of_void) {
  const auto executor = TypeParam::make(2);

  const future<void> f = executor->submit(&do_nothing);

  EXPECT_NO_THROW(f.get());
}

TYPED_TEST(submit, an_exception_arrives_with_its_own_type) {
  const auto executor = TypeParam::make(2);

  EXPECT_THROW(executor->submit(&divide, 1, 0).get(), std::domain_error);
}

TYPED_TEST(submit, an_exception_costs_no_other_call) {
  const auto executor = TypeParam::make(1);
  const auto bad = executor->submit(&divide, 1, 0);
  const auto good = executor->submit(&divide, 84, 2);

  EXPECT_EQ(good.get(), 42);
  EXPECT_THROW(bad.get(), std::domain_error);
}

TYPED_TEST(submit, a_call_that_takes_a_stop_token_is_given_one) {
  const gate here;
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(executor->submit(&count_to, here.handle(), 42).get(), 42);
}

TYPED_TEST(submit, a_stop_token_that_was_stopped_before_cancels_the_call) {
  const gate here;
  const auto executor = TypeParam::make(2);
  std::stop_source source;
  source.request_stop();

  const auto f = executor->submit({.stop_token = source.get_token()}, &arrive, here.handle(), 0);

  EXPECT_TRUE(f.cancelled());
  EXPECT_EQ(here.arrivals(), 0U);
}

TYPED_TEST(submit, max_workers_must_be_greater_than_zero) {
  if constexpr (!std::is_same_v<TypeParam, in_caller>) {  // which has no workers
    EXPECT_THROW(TypeParam::make(0), std::invalid_argument);
    EXPECT_THROW(TypeParam::make(-1), std::invalid_argument);
  }
}

TYPED_TEST(submit_to_pools, cancel_keeps_a_queued_call_from_running) {
  const gate here;
  const gate second;
  const auto executor = TypeParam::make(1);
  const auto running = executor->submit(&pass, here.handle(), 0);
  const auto queued = executor->submit(&arrive, second.handle(), 0);

  EXPECT_TRUE(queued.cancel());
  here.open();
  executor->shutdown();

  EXPECT_EQ(second.arrivals(), 0U);
  EXPECT_THROW(queued.get(), cancelled_error);
}

TYPED_TEST(submit_to_pools, cancel_does_not_touch_a_running_call) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto f = executor->submit(&pass, here.handle(), 42);
  here.await_arrivals(1);

  EXPECT_TRUE(f.running());
  EXPECT_FALSE(f.cancel());
  here.open();

  EXPECT_EQ(f.get(), 42);
}

TYPED_TEST(submit_to_pools, request_stop_reaches_a_running_call) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto f = executor->submit(&run_until_stopped, here.handle());
  here.await_arrivals(1);

  EXPECT_TRUE(f.request_stop());

  EXPECT_EQ(f.get(), 42);
}

TYPED_TEST(submit_to_pools, request_stop_cancels_a_queued_call) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto running = executor->submit(&pass, here.handle(), 0);
  const auto queued = executor->submit(&run_until_stopped, here.handle());

  EXPECT_TRUE(queued.request_stop());

  EXPECT_TRUE(queued.cancelled());
  here.open();
}

TYPED_TEST(submit_to_pools, the_stop_token_given_at_submit_stops_a_running_call) {
  const gate here;
  const auto executor = TypeParam::make(1);
  std::stop_source source;
  const auto f =
      executor->submit({.stop_token = source.get_token()}, &run_until_stopped, here.handle());
  here.await_arrivals(1);

  source.request_stop();

  EXPECT_EQ(f.get(), 42);
}

TYPED_TEST(submit_to_pools, the_stop_token_given_at_submit_cancels_a_queued_call) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto running = executor->submit(&pass, here.handle(), 0);
  std::stop_source source;
  const auto queued = executor->submit({.stop_token = source.get_token()}, &multiply, 2, 21);

  source.request_stop();

  EXPECT_TRUE(queued.cancelled());
  here.open();
}

TYPED_TEST(submit_to_pools, a_message_names_the_call) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto f = executor->submit({.name = "render 7"}, &pass, here.handle(), 0);
  std::string message;

  try {
    f.get_for(short_time);
  } catch (const timeout_error& e) {
    message = e.what();
  }

  EXPECT_NE(message.find("\"render 7\""), std::string::npos) << message;
  here.open();
}

TYPED_TEST(submit_to_pools, done_callbacks_of_a_call_run) {
  const gate here;
  const gate done;
  const auto executor = TypeParam::make(1);
  const auto f = executor->submit(&pass, here.handle(), 42);
  f.add_done_callback([at = done.handle()](const future<int>& each) { arrive(at, each.get()); });

  here.open();
  done.await_arrivals(1);

  EXPECT_EQ(f.get(), 42);
}

TYPED_TEST(submit_in_process, takes_move_only_arguments) {
  const auto executor = TypeParam::make(2);
  const auto unwrap = [](std::unique_ptr<int> p) { return *p; };

  EXPECT_EQ(executor->submit(unwrap, std::make_unique<int>(42)).get(), 42);
}

TYPED_TEST(submit_in_process, passes_references_by_std_ref) {
  const auto executor = TypeParam::make(2);
  int n = 41;

  executor->submit([](int& x) { ++x; }, std::ref(n)).get();

  EXPECT_EQ(n, 42);
}

// `written` is a plain bool on purpose: an executor that forgot to order the call before get() is
// reported here by ThreadSanitizer.
TYPED_TEST(submit_in_process, what_the_call_wrote_is_visible_after_get) {
  const auto executor = TypeParam::make(2);
  bool written = false;

  executor->submit([&] { written = true; }).get();

  EXPECT_TRUE(written);
}

TYPED_TEST(submit_in_process, what_was_written_before_submit_is_visible_to_the_call) {
  const auto executor = TypeParam::make(2);
  int n = 0;

  n = 42;

  EXPECT_EQ(executor->submit([&] { return n; }).get(), 42);
}

TYPED_TEST(submit_in_process, the_exception_is_the_object_that_was_thrown) {
  const auto executor = TypeParam::make(2);
  const auto thrown = std::make_exception_ptr(disk_full{});

  const future<void> f = executor->submit([&] { std::rethrow_exception(thrown); });

  EXPECT_EQ(f.exception(), thrown);
}

// CPython's test discards the future as well.
TYPED_TEST(submit_in_process, what_a_call_captured_is_destroyed_without_anybody_asking) {
  const gate destroyed;
  const auto executor = TypeParam::make(1);
  struct tells_its_end {
    explicit tells_its_end(gate_handle where) : at{where} {}
    ~tells_its_end() { arrive(at, 0); }
    gate_handle at;
  };

  static_cast<void>(executor->submit([p = std::make_unique<tells_its_end>(destroyed.handle())] {}));

  destroyed.await_arrivals(1);
}

TYPED_TEST(submit_in_process, what_a_call_captured_is_gone_when_its_result_is_there) {
  const auto executor = TypeParam::make(1);
  const auto object = std::make_shared<int>(42);

  executor->submit([object] { return *object; }).get();

  EXPECT_EQ(object.use_count(), 1);
}

TYPED_TEST(submit_in_process, what_a_posted_call_throws_is_reported) {
  const unhandled_log log;
  {
    const auto executor = TypeParam::make(1);
    executor->post([] { throw disk_full{}; });
  }

  EXPECT_EQ(log.entries(), std::vector<std::string>{"posted call: no space left"});
}

// clang 16 gave it others: see CADRE_MAY_SHARE_ADDRESS.
TYPED_TEST(submit_in_process, a_posted_callable_without_state_gets_its_arguments) {
  promise<int> answer;
  static promise<int>* to;
  to = &answer;
  const auto executor = TypeParam::make(1);

  executor->post([](int tens, int ones) { to->set_value(10 * tens + ones); }, 4, 2);

  EXPECT_EQ(answer.get_future().get(), 42);
}

TYPED_TEST(submit_in_process, submit_bulk_makes_one_call_for_each_input) {
  const auto executor = TypeParam::make(2);

  const auto all = executor->submit_bulk([](int n) { return n * n; }, std::vector{1, 2, 3});

  std::vector<int> results;
  for (const auto& f : all) results.push_back(f.get());
  EXPECT_EQ(results, (std::vector{1, 4, 9}));
}

// Not a pool: its own worker would have to join itself.
TEST(inline_executor, may_be_destroyed_as_soon_as_the_result_is_there) {
  auto executor = std::make_unique<inline_executor>();
  promise<void> p;
  p.get_future().add_done_callback([&](const future<void>&) { executor.reset(); });

  executor->post([&] { p.set_value(); });

  EXPECT_EQ(executor, nullptr);
}

}  // namespace cadre::test
