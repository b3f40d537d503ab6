// SPDX-License-Identifier: MIT
#include "process/crash_report.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "process/symbol_names.hpp"

namespace cadre::test {
namespace {

using process::crash_page;
using process::symbol_at;

void write_at(int fd, off_t position, const std::vector<std::uint32_t>& words) {
  ASSERT_GT(::pwrite(fd, words.data(), words.size() * sizeof words[0], position), 0);
}

}  // namespace

TEST(crash_page, of_a_worker_that_did_not_crash_is_empty) { EXPECT_FALSE(crash_page{}.read()); }

TEST(crash_page, cannot_shrink_under_its_reader) {
  const crash_page page;

  EXPECT_EQ(::ftruncate(page.fd(), 0), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(crash_page, full_of_nonsense_is_read_within_its_bounds) {
  std::mt19937 random{42};
  for (int round = 0; round < 200; ++round) {
    const crash_page page;
    std::vector<std::uint32_t> nonsense(600);
    for (std::uint32_t& word : nonsense) {
      word = random() % 4 == 0 ? UINT32_MAX : static_cast<std::uint32_t>(random());
    }
    nonsense[0] = 0x63726173;  // complete
    write_at(page.fd(), 0, nonsense);

    const auto crash = page.read();

    ASSERT_TRUE(crash);
    EXPECT_LE(crash->frames.size(), 64U);
  }
}

TEST(symbol_at, of_what_is_no_program_is_empty) {
  EXPECT_EQ(symbol_at("/no/such/file", 0), "");
  EXPECT_EQ(symbol_at("/dev/zero", 0), "");
  EXPECT_EQ(symbol_at("/usr", 0), "");
  EXPECT_EQ(symbol_at("/proc/self/maps", 0), "");
  const std::string fifo = testing::TempDir() + "symbol_at_fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(symbol_at(fifo, 0), "");
  ::unlink(fifo.c_str());
}

TEST(symbol_at, beyond_the_program_is_empty) {
  EXPECT_EQ(symbol_at("/proc/self/exe", UINT64_MAX), "");
}

}  // namespace cadre::test
