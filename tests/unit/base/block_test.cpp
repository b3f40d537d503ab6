// SPDX-License-Identifier: MIT
#include <cadre/detail/block.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace cadre::detail {
namespace {

TEST(block, blocks_in_use_never_overlap) {
  for (const std::size_t size : {1U, 64U, 65U, 200U, 256U, 257U, 512U, 513U, 5000U}) {
    std::vector<unsigned char*> blocks;
    for (unsigned i = 0; i < 1000; ++i) {
      blocks.push_back(static_cast<unsigned char*>(allocate_block(size)));
      std::memset(blocks.back(), static_cast<int>(i % 251), size);
    }

    for (unsigned i = 0; i < 1000; ++i) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks[i]) % block_alignment, 0U);
      ASSERT_EQ(blocks[i][0], i % 251) << size;
      ASSERT_EQ(blocks[i][size - 1], i % 251) << size;
      free_block(blocks[i], size);
    }
  }
}

TEST(block, what_one_thread_frees_another_gets) {
  constexpr std::size_t size = 192;
  constexpr unsigned rounds = 100;
  constexpr unsigned at_a_time = 1000;
  std::set<void*> seen;
  for (unsigned round = 0; round < rounds; ++round) {
    std::vector<void*> blocks;
    for (unsigned i = 0; i < at_a_time; ++i) blocks.push_back(allocate_block(size));
    seen.insert(blocks.begin(), blocks.end());
    std::thread{[&] {
      for (void* block : blocks) free_block(block, size);
    }}.join();
  }

  EXPECT_LT(seen.size(), 3 * at_a_time) << "memory comes back from threads that ended";
}

}  // namespace
}  // namespace cadre::detail
