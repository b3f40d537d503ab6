// SPDX-License-Identifier: MIT
// Queues under every schedule.
#include <cadre/errors.hpp>
#include <cadre/lifo_queue.hpp>
#include <cadre/queue.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stop_token>

#include "future/waiter.hpp"
#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::sync::atomic;

constexpr auto a_year = std::chrono::hours{24 * 365};

// Red when put() wakes nobody.
TEST(queue_model, each_element_wakes_a_getter) {
  EXPECT_TRUE(holds([] {
    cadre::queue<int> q;
    atomic<int> got{0};
    const auto get = [&] { got.fetch_add(q.get()); };
    in_parallel(get, get, [&] {
      q.put(1);
      q.put(2);
    });
    check(got.load() == 3 && q.empty(), "both arrived");
  }));
}

// Red when get() wakes no putter.
TEST(queue_model, room_wakes_a_putter) {
  EXPECT_TRUE(holds([] {
    cadre::queue<int> q{1};
    q.put(0);
    in_parallel(
        [&] {
          q.put(1);
          q.put(2);
        },
        [&] {
          q.get();
          q.get();
        });
    check(q.size() == 1, "both have found room");
  }));
}

// Red when the room that a putter knew of is not counted down.
TEST(queue_model, never_holds_more_than_its_bound) {
  EXPECT_TRUE(holds([] {
    cadre::queue<int> q{1};
    atomic<int> put{0};
    const auto offer = [&] { put.fetch_add(q.try_put(1) ? 1 : 0); };
    in_parallel(offer, offer);
    check(put.load() == 1 && q.size() == 1, "one has found room");
  }));
}

TEST(queue_model, of_one_container_hands_over_as_well) {
  EXPECT_TRUE(holds([] {
    cadre::lifo_queue<int> q{1};
    in_parallel(
        [&] {
          q.put(1);
          q.put(2);
        },
        [&] { check(q.get() + q.get() == 3, "both arrive"); });
  }));
}

// Red when a getter that leaves at its deadline takes the wake-up of another one with it.
TEST(queue_model, a_time_out_takes_no_wake_up_away) {
  EXPECT_TRUE(holds([] {
    cadre::queue<int> q;
    std::optional<int> early;
    in_parallel([&] { early = q.get_for(a_year); }, [&] { q.put(1); });
    check(early.has_value() != (q.size() == 1), "it is here or there");
  }));
}

// Red when a stop callback is registered after the last look at the token.
TEST(queue_model, a_stop_request_ends_a_wait) {
  EXPECT_TRUE(holds([] {
    cadre::queue<int> q;
    std::stop_source stop;
    std::optional<int> got;
    in_parallel([&] { got = q.get(stop.get_token()); }, [&] { stop.request_stop(); });
    check(!got.has_value(), "nothing was put");
  }));
}

// Red when close() wakes waiters before it marks the queue as closed.
TEST(queue_model, shutdown_wakes_whoever_waits) {
  EXPECT_TRUE(holds([] {
    cadre::queue<int> q{1};
    q.put(1);
    bool refused = false;
    in_parallel(
        [&] {
          try {
            q.put(2);
          } catch (const cadre::shutdown_error&) {
            refused = true;
          }
        },
        [&] { q.shutdown({.immediate = true}); });
    check(refused && q.size() == 0, "there was no room, and nothing is left");
  }));
}

// Red when task_done() compares before it counts.
TEST(queue_model, the_last_task_done_ends_join) {
  EXPECT_TRUE(holds([] {
    cadre::queue<int> q;
    q.put(1);
    q.put(2);
    const auto work = [&] {
      q.get();
      q.task_done();
    };
    in_parallel([&] { q.join(); }, work, work);
  }));
}

// Red when put() touches the queue after it has unlocked.
TEST(queue_model, whoever_got_the_last_element_may_destroy_it) {
  EXPECT_TRUE(holds([] {
    auto q = std::make_unique<cadre::queue<int>>();
    in_parallel([&, raw = q.get()] { raw->put(1); },
                [&] {
                  q->get();
                  q.reset();
                });
  }));
}

/// Tells when a thread is about to sleep.
class sleep_sign final : public cadre::detail::waiting_worker {
 public:
  void claim(cadre::detail::state_base&) override {}
  void begin_block(cadre::detail::state_base* const*, std::size_t, bool) override {
    asleep.store(true);
  }
  void end_block() noexcept override {}
  void begin_callbacks() noexcept override {}
  bool works_for(const void*) const noexcept override { return false; }
  void repost(cadre::detail::state_base&) override {}

  atomic<bool> asleep{false};
};

// Red when the destructor does not wait, or a waiter uses the queue after it has counted itself out.
TEST(queue_model, the_destructor_waits_for_those_it_wakes) {
  EXPECT_TRUE(holds([] {
    sleep_sign sign;
    auto q = std::make_unique<cadre::queue<int>>();
    bool refused = false;
    in_parallel(
        [&, raw = q.get()] {
          cadre::detail::set_this_thread_worker(&sign);
          try {
            raw->get();
          } catch (const cadre::shutdown_error&) {
            refused = true;
          }
          cadre::detail::set_this_thread_worker(nullptr);
        },
        [&] {
          while (!sign.asleep.load()) cadre::sync::pause();
          q.reset();
        });
    check(refused, "get() has thrown");
  }));
}

/// Counts the looks for an element.
class counting_order : public cadre::detail::fifo_order<int> {
 public:
  explicit counting_order(atomic<int>& looks) : looks_{&looks} {}
  bool pop_front(void* to) {
    looks_->fetch_add(1);
    return fifo_order::pop_front(to);
  }

 private:
  atomic<int>* looks_;
};

// Red when a getter that lets others go on is no guest of the queue meanwhile.
TEST(queue_model, the_destructor_waits_for_those_that_pause) {
  EXPECT_TRUE(holds([] {
    atomic<int> looks{0};
    using counted = cadre::basic_queue<int, counting_order>;
    auto q = std::make_unique<counted>(0, counting_order{looks});
    q->put(1);
    q->put(2);
    q->get();
    q->get();  // there were two at once, so the next get() pauses before it sleeps
    looks.store(0);
    bool refused = false;
    in_parallel(
        [&, raw = q.get()] {
          try {
            raw->get();
          } catch (const cadre::shutdown_error&) {
            refused = true;
          }
        },
        [&] {
          while (looks.load() == 0) cadre::sync::pause();
          q.reset();
        });
    check(refused, "get() has thrown");
  }));
}

}  // namespace
}  // namespace cadre_model
