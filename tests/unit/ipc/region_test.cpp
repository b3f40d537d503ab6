// SPDX-License-Identifier: MIT
#include "ipc/region.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>

#include "support/sanitizers.hpp"
#include "unit/ipc/forked.hpp"

namespace cadre::ipc {
namespace {

using access = region::access;
using test::forked;
using test::under_asan;
using test::under_tsan;
using resource_kind = decltype(RLIMIT_AS);
constexpr std::size_t size = 8192;

TEST(region, what_its_creator_writes_the_other_reads) {
  const auto [mine, handle] = region::create(size, access::mine);
  const region theirs = region::open(handle, size, access::mine);

  EXPECT_EQ(theirs.bytes()[size - 1], std::byte{0});
  mine.bytes()[size - 1] = std::byte{42};

  EXPECT_EQ(theirs.bytes()[size - 1], std::byte{42});
}

TEST(region, both_write_what_is_for_both) {
  const auto [mine, handle] = region::create(size, access::both);
  const region theirs = region::open(handle, size, access::both);

  theirs.bytes()[7] = std::byte{42};

  EXPECT_EQ(mine.bytes()[7], std::byte{42});
}

TEST(region, who_opened_it_cannot_make_it_writable) {
  const auto [mine, handle] = region::create(size, access::mine);
  const region theirs = region::open(handle, size, access::mine);

  EXPECT_EQ(::mprotect(theirs.bytes().data(), size, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
}

TEST(region, nobody_can_map_it_writable_again_or_write_by_other_means) {
  const auto [mine, handle] = region::create(size, access::mine);
  const std::string path = "/proc/self/fd/" + std::to_string(handle.get());
  const descriptor reopened{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  ASSERT_TRUE(reopened);

  for (const int fd : {handle.get(), reopened.get()}) {
    EXPECT_EQ(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::pwrite(fd, "x", 1, 0), -1);
    EXPECT_EQ(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
  }
}

TEST(region, nobody_can_change_its_size_or_its_seals) {
  for (const access who : {access::mine, access::both}) {
    const auto [mine, handle] = region::create(size, who);

    EXPECT_EQ(::ftruncate(handle.get(), 0), -1);
    EXPECT_EQ(::ftruncate(handle.get(), size * 2), -1);
    EXPECT_EQ(::fcntl(handle.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  }
}

TEST(region, memory_without_one_of_the_seals_is_refused) {
  constexpr std::array all{F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_FUTURE_WRITE};
  for (const int missing : all) {
    const descriptor fd{::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    ASSERT_EQ(::ftruncate(fd.get(), size), 0);
    int seals = 0;
    for (const int seal : all) seals |= seal == missing ? 0 : seal;
    ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);

    EXPECT_THROW(region::open(fd, size, access::mine), std::runtime_error) << missing;
  }
}

TEST(region, memory_that_was_truncated_before_is_refused) {
  const descriptor fd{::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  ASSERT_EQ(::ftruncate(fd.get(), size / 2), 0);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS,
                    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE),
            0);

  EXPECT_THROW(region::open(fd, size, access::mine), std::runtime_error);
  EXPECT_NO_THROW(region::open(fd, size / 2, access::mine));
}

TEST(region, what_is_no_memory_is_refused) {
  const descriptor null{::open("/dev/null", O_RDWR | O_CLOEXEC)};

  EXPECT_THROW(region::open(null, size, access::mine), std::runtime_error);
  EXPECT_THROW(region::open(descriptor{}, size, access::mine), std::runtime_error);
}

TEST(region, nothing_stays_mapped) {
  const auto mappings = [] {
    std::ifstream file{"/proc/self/maps"};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    return text.find("memfd:cadre") != std::string::npos;
  };
  {
    const auto [mine, handle] = region::create(size, access::mine);
    region theirs = region::open(handle, size, access::mine);
    theirs = region::open(handle, size, access::mine);
    EXPECT_TRUE(mappings());
  }
  EXPECT_FALSE(mappings());
}

TEST(region, beyond_the_limit_of_files_is_an_error_that_names_it_and_no_signal) {
  forked child{[] {
    ::signal(SIGXFSZ, SIG_DFL);
    const rlimit small{size, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &small);
    try {
      region::create(size, access::mine);
      region::create(size + 1, access::mine);
    } catch (const std::system_error& e) {
      const bool named = std::string{e.what()}.find("ulimit -f") != std::string::npos;
      return e.code() == std::errc::file_too_large && named ? 0 : 2;
    }
    return 1;
  }};

  EXPECT_EQ(child.wait(), 0);
}

TEST(region, without_descriptors_or_address_space_says_which_limit_it_is) {
  const auto says = [](resource_kind resource, const char* which, std::size_t how_large) {
    forked child{[=] {
      rlimit before{};
      ::getrlimit(resource, &before);
      rlimit none = before;
      none.rlim_cur = 0;
      if (::setrlimit(resource, &none) != 0) return 3;
      try {
        region::create(how_large, access::mine);
      } catch (const std::system_error& e) {
        ::setrlimit(resource, &before);  // UBSan opens a pipe when it checks the type of `e`
        return std::string{e.what()}.find(which) != std::string::npos ? 0 : 2;
      }
      return 1;
    }};
    return child.wait();
  };

  EXPECT_EQ(says(RLIMIT_NOFILE, "ulimit -n", size), 0);
  if (!under_asan && !under_tsan) {
    EXPECT_EQ(says(RLIMIT_AS, "ulimit -v", size), 0);
  }
}

TEST(region, programs_do_not_inherit_it) {
  const auto [mine, handle] = region::create(size, access::mine);

  EXPECT_NE(::fcntl(handle.get(), F_GETFD) & FD_CLOEXEC, 0);
}

}  // namespace
}  // namespace cadre::ipc
