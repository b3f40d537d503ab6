// SPDX-License-Identifier: MIT
#include "ipc/descriptor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace cadre::ipc {
namespace {

descriptor any_descriptor() { return descriptor{::open("/dev/null", O_RDONLY | O_CLOEXEC)}; }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(descriptor, is_closed_with_its_owner) {
  int fd = -1;
  {
    const descriptor d = any_descriptor();
    fd = d.get();
    EXPECT_TRUE(is_open(fd));
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(descriptor, is_closed_once_however_it_moves) {
  descriptor first = any_descriptor();
  const int fd = first.get();

  descriptor second{std::move(first)};
  descriptor third;
  third = std::move(second);

  EXPECT_FALSE(first);
  EXPECT_FALSE(second);
  EXPECT_EQ(third.get(), fd);
  EXPECT_TRUE(is_open(fd));
}

TEST(descriptor, assignment_closes_what_was_there) {
  descriptor d = any_descriptor();
  const int before = d.get();

  d = any_descriptor();

  EXPECT_NE(d.get(), before);
  EXPECT_FALSE(is_open(before));
}

TEST(descriptor, release_leaves_the_closing_to_the_caller) {
  descriptor d = any_descriptor();
  const int fd = d.release();

  d.reset();

  EXPECT_TRUE(is_open(fd));
  ::close(fd);
}

TEST(descriptor, a_refusal_of_the_system_says_who_and_why) {
  try {
    errno = EMFILE;
    throw_errno("cadre: cannot do this");
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code().value(), EMFILE);
    EXPECT_NE(std::string{e.what()}.find("cannot do this"), std::string::npos);
  }
}

TEST(what_now, fits_the_error) {
  EXPECT_NE(what_now(EMFILE).find("ulimit -n"), std::string::npos);
  EXPECT_NE(what_now(ENFILE).find("fs.file-max"), std::string::npos);
  for (const int other : {ENOSYS, EPERM, ENOMEM, EINVAL, ENOSPC}) {
    EXPECT_EQ(what_now(other).find("ulimit -n"), std::string::npos) << other;
  }
  EXPECT_NE(what_now(ENOSYS).find("kernel"), std::string::npos);
}

TEST(throw_errno, keeps_the_number_and_adds_what_to_do) {
  try {
    errno = EMFILE;
    throw_errno("cadre: cannot do it (call)");
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code().value(), EMFILE);
    EXPECT_TRUE(std::string{e.what()}.starts_with("cadre: cannot do it (call); "));
  }
}

}  // namespace
}  // namespace cadre::ipc
