// SPDX-License-Identifier: MIT
#include "ipc/poller.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>

namespace cadre::ipc {
namespace {

int milliseconds_until(sync::time_point deadline) {
  using std::chrono::milliseconds;
  if (deadline == sync::never) return -1;
  const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<milliseconds::rep>(left.count(), 0, INT_MAX));
}

epoll_event interest_in(std::uint64_t token, poller::trigger how) noexcept {
  epoll_event interest{};
  interest.events = EPOLLIN;
  if (how == poller::trigger::edge) interest.events |= EPOLLET;
  interest.data.u64 = token;
  return interest;
}

}  // namespace

poller::poller()
    : fd_{own(::epoll_create1(EPOLL_CLOEXEC), "cadre: cannot make an epoll instance")} {}

void poller::add(int fd, std::uint64_t token, trigger how) {
  epoll_event interest = interest_in(token, how);
  if (::epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd, &interest) != 0) {
    throw_errno("cadre: cannot watch a descriptor (epoll_ctl)");
  }
}

void poller::pause(int fd) noexcept {
  epoll_event nothing{};
  ::epoll_ctl(fd_.get(), EPOLL_CTL_MOD, fd, &nothing);
}

void poller::resume(int fd, std::uint64_t token, trigger how) noexcept {
  epoll_event interest = interest_in(token, how);
  ::epoll_ctl(fd_.get(), EPOLL_CTL_MOD, fd, &interest);
}

void poller::remove(int fd) noexcept { ::epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::size_t poller::wait(std::span<ready> found, sync::time_point deadline) {
  std::array<epoll_event, 64> events;
  const int room = static_cast<int>(std::min(found.size(), events.size()));
  int count = 0;
  do {
    count = ::epoll_wait(fd_.get(), events.data(), room, milliseconds_until(deadline));
  } while (count < 0 && errno == EINTR);
  if (count < 0) throw_errno("cadre: cannot wait for descriptors (epoll_wait)");
  std::transform(events.begin(), events.begin() + count, found.begin(), [](const epoll_event& e) {
    return ready{e.data.u64, (e.events & (EPOLLHUP | EPOLLERR)) != 0};
  });
  return static_cast<std::size_t>(count);
}

bool poll_until(std::span<pollfd> descriptors, sync::time_point deadline) noexcept {
  int count = 0;
  do {
    const auto left = deadline - std::chrono::steady_clock::now();
    const auto positive = std::max<std::chrono::nanoseconds>(left, std::chrono::nanoseconds{0});
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(positive);
    const timespec time{seconds.count(), (positive - seconds).count()};
    count = ::ppoll(descriptors.data(), descriptors.size(),
                    deadline == sync::never ? nullptr : &time, nullptr);
  } while (count < 0 && errno == EINTR);
  return count > 0;
}

}  // namespace cadre::ipc
