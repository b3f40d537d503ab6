// SPDX-License-Identifier: MIT
// region: memory that processes share. A sealed memfd, mapped.
//
//     auto [mine, handle] = region::create(size, region::access::mine);
//     socket.send(hello, std::array{handle.get()});             // in its owner's process
//     region theirs = region::open(handle, size, region::access::mine);  // in the other one
//
// mine       Only the process that created it writes it, through the mapping that it made before
//            the seal. Whoever else gets the descriptor can only map it read-only, whatever it does.
// both       Everybody who has the descriptor may write.
// Size       Never changes, as open() makes sure: memory that shrinks would kill its readers (SIGBUS).
// Threads    As memory. What another process writes may change at any moment: read it once, check,
//            then use.
// Errors     std::system_error for what the system refuses, std::runtime_error for what open() does.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "ipc/descriptor.hpp"

namespace cadre::ipc {

struct created_region;

class region {
 public:
  enum class access { mine, both };

  region() noexcept = default;
  region(region&& other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
  region& operator=(region&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~region();

  /// `size` bytes, all zero. The descriptor is to be sent to the other process; the mapping does not
  /// need it.
  static created_region create(std::size_t size, access who);

  /// Maps what another process created: read-only if it is that one's. Refuses memory of another
  /// size, or without the seals of create().
  static region open(const descriptor& handle, std::size_t size, access who);

  /// Of a region that was opened and is the other's, only to read.
  std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  explicit region(std::span<std::byte> bytes) noexcept : bytes_{bytes} {}
  static region map(int fd, std::size_t size, int protection);

  std::span<std::byte> bytes_;
};

struct created_region {
  region memory;
  descriptor handle;
};

}  // namespace cadre::ipc
