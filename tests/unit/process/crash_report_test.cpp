// SPDX-License-Identifier: MIT
#include "process/crash_report.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

namespace cadre::test {
namespace {

using process::crash_page;

void write_at(int fd, off_t position, const std::vector<std::uint32_t>& words) {
  ASSERT_GT(::pwrite(fd, words.data(), words.size() * sizeof words[0], position), 0);
}

}  // namespace

TEST(crash_page, of_a_worker_that_did_not_crash_is_empty) { EXPECT_FALSE(crash_page{}.read()); }

TEST(crash_page, is_written_within_its_bounds_though_its_counters_were_scribbled_over) {
  const crash_page page;
  const pid_t child = ::fork();
  if (child == 0) {
    const ipc::descriptor theirs{::dup(page.fd())};
    process::record_crashes(theirs);
    const std::vector<std::uint32_t> scribbled(600, UINT32_MAX);
    if (::pwrite(theirs.get(), scribbled.data(), 2400, 0) == 2400) ::raise(SIGABRT);
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);

  const auto crash = page.read();

  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
  ASSERT_TRUE(crash);
  EXPECT_EQ(crash->signal, SIGABRT);
  ASSERT_FALSE(crash->frames.empty());
  EXPECT_LT(crash->frames.size(), 64U);
  EXPECT_NE(crash->frames.back().file, "?");
}

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

}  // namespace cadre::test
