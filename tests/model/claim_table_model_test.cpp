// SPDX-License-Identifier: MIT
// ipc/claim_table.hpp under every schedule.
#include "ipc/claim_table.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::ipc::claim_table;

// Red when take() or revoke() is a load and a store.
TEST(claim_table_model, a_call_is_taken_or_revoked_and_never_both) {
  EXPECT_TRUE(holds({.preemptions = unlimited}, [] {
    claim_table table;
    bool taken = false;
    bool revoked = false;
    table.post(3, 7);
    in_parallel([&] { taken = table.take(3, 7); }, [&] { revoked = table.revoke(3, 7); });
    check(taken != revoked, "one of the two has it");
    check(table.is_taken(3, 7) == taken, "the parent sees who");
  }));
}

// Red when the number is not part of the word.
TEST(claim_table_model, a_slow_worker_does_not_take_the_next_call_of_the_slot) {
  EXPECT_TRUE(holds({.preemptions = unlimited}, [] {
    claim_table table;
    bool taken = false;
    table.post(0, 1);
    in_parallel([&] { taken = table.take(0, 1); },
                [&] {
                  if (!table.revoke(0, 1)) return;
                  table.post(0, 2);
                  check(table.revoke(0, 2), "nobody has asked for the second call");
                });
  }));
}

// Red when is_taken() is true of a call that was only posted.
TEST(claim_table_model, a_worker_that_dies_leaves_the_call_taken_or_to_be_revoked) {
  const options worker_is_killed{.victim = 1};
  EXPECT_TRUE(holds_if_killed(worker_is_killed, [] {
    claim_table table;
    cadre::sync::atomic<bool> ran{false};
    table.post(0, 1);
    in_parallel([&] {
      if (table.take(0, 1)) ran = true;
    });
    check(table.is_taken(0, 1) != table.revoke(0, 1), "it says how far the call came");
    check(!ran.load() || table.is_taken(0, 1), "a call that ran was taken");
  }));
}

}  // namespace
}  // namespace cadre_model
