// SPDX-License-Identifier: MIT
#include "ipc/claim_table.hpp"

#include <gtest/gtest.h>

namespace cadre::ipc {
namespace {

TEST(claim_table, a_call_that_was_taken_cannot_be_revoked) {
  claim_table table;
  table.post(5, 1);

  EXPECT_TRUE(table.take(5, 1));
  EXPECT_FALSE(table.revoke(5, 1));
  EXPECT_TRUE(table.is_taken(5, 1));
}

TEST(claim_table, a_call_that_was_revoked_cannot_be_taken) {
  claim_table table;
  table.post(5, 1);

  EXPECT_TRUE(table.revoke(5, 1));
  EXPECT_FALSE(table.take(5, 1));
  EXPECT_FALSE(table.is_taken(5, 1));
}

TEST(claim_table, a_number_from_before_is_not_the_call_that_is_there_now) {
  claim_table table;
  table.post(5, 1);
  table.take(5, 1);
  table.post(5, 2);

  EXPECT_FALSE(table.is_taken(5, 1));
  EXPECT_FALSE(table.revoke(5, 1));
  EXPECT_TRUE(table.take(5, 2));
}

TEST(claim_table, what_was_never_posted_is_nobodys) {
  claim_table table;

  EXPECT_FALSE(table.take(0, 0));
  EXPECT_FALSE(table.revoke(0, 0));
  EXPECT_FALSE(table.is_taken(0, 0));
}

TEST(claim_table, a_slot_that_is_not_there_is_refused) {
  claim_table table;

  table.post(claim_table::slot_count, 1);

  EXPECT_FALSE(table.take(claim_table::slot_count, 1));
  EXPECT_FALSE(table.revoke(claim_table::slot_count, 1));
  EXPECT_FALSE(table.is_taken(claim_table::slot_count, 1));
}

}  // namespace
}  // namespace cadre::ipc
