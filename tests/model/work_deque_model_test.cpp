// SPDX-License-Identifier: MIT
// sync/work_deque.hpp under every schedule: one owner, one or two thieves.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>

#include "holds.hpp"
#include "sync/work_deque.hpp"

namespace cadre_model {
namespace {

/// Numbered items, and how often each came out of the deque.
template <std::size_t Size>
struct items {
  void got(const int* item) {
    if (item != nullptr) ++taken[static_cast<std::size_t>(item - numbers.data())];
  }
  bool each_taken_once() const {
    for (int n : taken) {
      if (n != 1) return false;
    }
    return true;
  }

  std::array<int, Size> numbers{};
  std::array<int, Size> taken{};
};

using deque = cadre::sync::work_deque<int>;

// Red when pop() takes the last item without a compare-exchange, or stores bottom_ after it has
// read top_.
TEST(work_deque_model, an_item_goes_to_the_owner_or_to_one_thief) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    items<2> all;
    deque d{2};
    label(d, "deque");
    in_parallel(
        [&] {
          for (int& n : all.numbers) d.push(&n);
          all.got(d.pop());
          all.got(d.pop());
        },
        [&] { all.got(d.take()); }, [&] { all.got(d.take()); });
    while (int* rest = d.pop()) all.got(rest);
    check(all.each_taken_once(), "every item is taken once");
  }));
}

// Red when a thief reads the item after its compare-exchange, or grow() copies nothing.
TEST(work_deque_model, it_may_grow_while_thieves_take) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    items<3> all;
    deque d{1};
    label(d, "deque");
    in_parallel(
        [&] {
          for (int& n : all.numbers) d.push(&n);
        },
        [&] {
          all.got(d.take());
          all.got(d.take());
        });
    while (int* rest = d.pop()) all.got(rest);
    check(all.each_taken_once(), "every item is taken once");
  }));
}

// Red when push() does not look at top_ before it writes a slot for the second time, or a thief
// reads the item after its compare-exchange.
TEST(work_deque_model, a_slot_is_not_overwritten_before_its_item_was_taken) {
  EXPECT_TRUE(holds({.preemptions = 4}, [] {
    items<4> all;
    deque d{2};
    label(d, "deque");
    in_parallel(
        [&] {
          d.push(&all.numbers[0]);
          d.push(&all.numbers[1]);
          all.got(d.pop());
          d.push(&all.numbers[2]);
          d.push(&all.numbers[3]);
        },
        [&] {
          all.got(d.take());
          all.got(d.take());
        });
    while (int* rest = d.pop()) all.got(rest);
    check(all.each_taken_once(), "every item is taken once");
  }));
}

// Red when pop() leaves bottom_ one too low after it lost the last item to a thief.
TEST(work_deque_model, it_can_be_used_again_after_it_was_emptied) {
  EXPECT_TRUE(holds({.preemptions = 4}, [] {
    items<2> all;
    deque d{2};
    label(d, "deque");
    in_parallel(
        [&] {
          d.push(&all.numbers[0]);
          all.got(d.pop());
          d.push(&all.numbers[1]);
          all.got(d.pop());
        },
        [&] { all.got(d.take()); });
    check(d.empty(), "nothing is left");
    check(all.each_taken_once(), "every item is taken once");
  }));
}

}  // namespace
}  // namespace cadre_model
