// SPDX-License-Identifier: MIT
// The state word of futures under every schedule: what two or three threads may do to one call.
#include <gtest/gtest.h>
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/promise.hpp>

#include <array>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "future/waiter.hpp"
#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::detail::listener;
using cadre::detail::ref;
using cadre::detail::state;
using cadre::detail::state_base;
using cadre::sync::atomic;

const auto some_day = cadre::detail::never - std::chrono::hours{1};

/// The pool of the call: it must be left alone once the call was seen cancelled.
struct owner : cadre::detail::call_owner {
  bool withdraw(state_base&) noexcept override {
    busy.store(true);
    ++told;
    busy.store(false);
    return true;
  }
  atomic<bool> busy{false};
  atomic<int> told{0};
};

/// A call that knows what was done to it.
class call final : public state<int> {
 public:
  call() : state<int>{1} {}
  ~call() override { check(alive == 0, "the callable is gone when the state is destroyed"); }

  /// What a worker does with a call that it took from its queue.
  bool start_and_run() {
    if (!try_start()) return false;
    check(++runs == 1, "a call runs once");
    const auto outcome = fill([&] { return 42; });
    check(alive.exchange(0) == 1, "the callable is destroyed once");
    finish(outcome);
    return true;
  }

  atomic<int> alive{1};  // callables
  atomic<int> runs{0};

 protected:
  void discard() noexcept override {
    check(alive.exchange(0) == 1, "the callable is destroyed once");
  }
};

/// A listener on the heap, as add_done_callback makes them.
struct counting_callback : listener {
  explicit counting_callback(int& calls) : listener{&notified, true}, count{calls} {}
  static void notified(listener& self, state_base& done) noexcept {
    check(done.done(), "a callback runs when the future is done");
    auto* node = static_cast<counting_callback*>(&self);
    ++node->count;
    delete node;
  }
  int& count;
};

/// What the threads of one test share, and what is true in the end.
struct scene {
  ref<call> shared{new call, ref<call>::adopt{}};
  owner pool;
  int callbacks_added = 0;
  int callbacks_called = 0;

  scene() { shared->set_owner(&pool, cadre::detail::fork_generation()); }

  void see_done(const call& c) const {
    const auto status = c.get_status();
    check(status == state_base::value || status == state_base::cancelled ||
              status == state_base::error,
          "it is done");
    check(c.alive == 0, "who sees it done sees the callable gone");
  }

  void finish() {
    shared->start_and_run();  // when no thread of the test did
    see_done(*shared);
    const bool withdrawn = shared->get_status() != state_base::value;
    check(withdrawn != (shared->runs == 1), "it ran or was cancelled or expired, and only one");
    check(pool.told == (withdrawn ? 1 : 0), "the pool is told once of a call that will not run");
    shared->mark_observed();
    check(callbacks_called == callbacks_added, "each callback is called once");
  }
};

/// What one thread does. Each has a reference of its own, and drops it.
struct action {
  const char* name;
  bool completes;  // the call is done in the end
  void (*perform)(scene&, call&);

  friend std::ostream& operator<<(std::ostream& out, const action& a) { return out << a.name; }
};

void run(scene& s, call& c) {
  if (!c.start_and_run() && c.get_status() >= state_base::cancelling) {
    check(!s.pool.busy.load(), "a worker that drops a cancelled call finds its pool unused");
  }
}

void expire(scene&, call& c) {
  const bool expired = c.expire(std::make_exception_ptr(1));
  const auto now = c.get_status();
  check(!expired || now == state_base::error, "a call that expired has failed");
}

void cancel(scene&, call& c) {
  const bool cancelled = c.cancel();
  const auto now = c.get_status();
  check(cancelled == (now == state_base::cancelling || now == state_base::cancelled),
        "cancel() tells what became of the call");
}

void add_callback(scene& s, call& c) {
  ++s.callbacks_added;
  auto* node = new counting_callback{s.callbacks_called};
  if (!c.add_listener(*node)) node->notify(*node, c);
}

void wait(scene& s, call& c) {
  check(c.wait_until(cadre::detail::never), "an untimed wait ends when the future is done");
  s.see_done(c);
}

void wait_timed(scene& s, call& c) {
  if (c.wait_until(some_day)) s.see_done(c);
}

// Adds two listeners and takes the older one out, past the newer.
void add_and_remove(scene& s, call& c) {
  auto* first = new counting_callback{s.callbacks_called};
  if (!c.add_listener(*first)) {
    delete first;
    return;
  }
  add_callback(s, c);
  if (c.remove_listener(*first)) {
    delete first;
  } else {
    ++s.callbacks_added;
  }
}

constexpr action actions[] = {
    {"run", true, &run},
    {"cancel", true, &cancel},
    {"expire", true, &expire},
    {"add_callback", false, &add_callback},
    {"wait", false, &wait},
    {"wait_timed", false, &wait_timed},
    {"add_and_remove", false, &add_and_remove},
};

using cast = std::vector<action>;

/// Every choice of two or three actions of which one completes the call.
std::vector<cast> all_casts() {
  std::vector<cast> casts;
  for (std::size_t a = 0; a < 3; ++a) {
    for (std::size_t b = a; b < std::size(actions); ++b) {
      casts.push_back({actions[a], actions[b]});
      for (std::size_t c = b; c < std::size(actions); ++c) {
        casts.push_back({actions[a], actions[b], actions[c]});
      }
    }
  }
  return casts;
}

std::string name_of(const testing::TestParamInfo<cast>& info) {
  std::string name;
  for (const action& a : info.param) name += (name.empty() ? "" : "__") + std::string{a.name};
  return name;
}

class future_model : public testing::TestWithParam<cast> {};

TEST_P(future_model, ends_run_or_cancelled_or_expired_and_everyone_is_told) {
  EXPECT_TRUE(holds([&] {
    scene s;
    label(*s.shared, "state");
    std::array<ref<call>, 3> handles{s.shared, s.shared, s.shared};
    const auto part = [&](std::size_t i) {
      if (i >= GetParam().size()) return;
      GetParam()[i].perform(s, *handles[i]);
      handles[i] = {};
    };
    in_parallel([&] { part(0); }, [&] { part(1); }, [&] { part(2); });
    s.finish();
  }));
}

INSTANTIATE_TEST_SUITE_P(every, future_model, testing::ValuesIn(all_casts()), name_of);

// Red when release() looks at the count again after it has dropped its own reference.
TEST(future_handles_model, the_last_of_them_destroys_the_state) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    cadre::promise<int> promise;
    std::array<cadre::future<int>, 2> handles{promise.get_future(), promise.get_future()};
    in_parallel(
        [&, p = std::move(promise)]() mutable { cadre::promise{std::move(p)}.set_value(1); },
        [&] { handles[0] = {}; },
        [&] {
          auto copy = handles[1];
          handles[1] = {};
        });
  }));
}

// Red when take() loads and stores instead of exchanging.
TEST(future_handles_model, one_rvalue_get_moves_the_value_out) {
  EXPECT_TRUE(holds([] {
    cadre::promise<std::unique_ptr<int>> promise;
    std::array handles{promise.get_future(), promise.get_future()};
    atomic<int> values{0};
    atomic<int> refusals{0};
    const auto get = [&](std::size_t i) {
      try {
        const auto value = std::move(handles[i]).get();
        check(value != nullptr && *value == 7, "the value arrives whole");
        ++values;
      } catch (const cadre::invalid_state_error&) {
        ++refusals;
      }
    };
    in_parallel([&] { get(0); }, [&] { get(1); },
                [&] { promise.set_value(std::make_unique<int>(7)); });
    check(values == 1 && refusals == 1, "one has the value, the other is told");
  }));
}

/// `set_outcome` gives the promise its outcome, while another thread cancels its future.
template <typename Set>
void expect_set_or_cancelled(Set set_outcome) {
  EXPECT_TRUE(holds([&] {
    cadre::promise<std::unique_ptr<int>> promise;
    std::array handles{promise.get_future(), promise.get_future()};
    atomic<int> told{0};
    bool set = false;
    bool cancelled = false;
    in_parallel(
        [&] {
          try {
            set_outcome(promise);
            set = true;
          } catch (const cadre::invalid_state_error&) {  // the reader was first
          }
        },
        [&] { cancelled = handles[0].cancel(); },
        [&] { handles[1].add_done_callback([&](const auto&) { ++told; }); });
    check(set != cancelled, "it is set, or cancelled");
    check(handles[0].cancelled() == cancelled, "its future says so");
    check(told == 1, "the callback is called once");
    if (set) static_cast<void>(handles[0].exception());  // somebody asked for it
  }));
}

// Red when settle_slow() does not look whether the state is still pending.
TEST(promise_model, a_future_is_set_or_cancelled_and_its_callbacks_run_once) {
  expect_set_or_cancelled([](auto& promise) { promise.set_value(std::make_unique<int>(7)); });
}
TEST(promise_model, a_future_has_its_exception_or_is_cancelled) {
  const auto error = std::make_exception_ptr(7);
  expect_set_or_cancelled([&](auto& promise) { promise.set_exception(error); });
}

// Red when set_value() looks at the state after it has published.
TEST(promise_model, its_reader_may_destroy_it_when_the_value_is_there) {
  EXPECT_TRUE(holds([] {
    auto promise = std::make_unique<cadre::promise<int>>();
    auto handle = promise->get_future();
    in_parallel([&, p = promise.get()] { p->set_value(7); },
                [&] {
                  check(handle.get() == 7, "the value arrives");
                  handle = {};
                  promise.reset();
                });
  }));
}

}  // namespace
}  // namespace cadre_model
