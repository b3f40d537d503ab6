// SPDX-License-Identifier: MIT
#include "support/gate.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

namespace cadre::test {

/// What the processes share: std::atomic::wait would not wake another process.
struct gate::shared {
  using word = std::atomic<std::uint32_t>;

  static void sleep_while(const word& value, std::uint32_t seen) {
    ::syscall(SYS_futex, &value, FUTEX_WAIT, seen, nullptr, nullptr, 0);
  }
  static void wake_all(const word& value) {
    ::syscall(SYS_futex, &value, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }

  std::uint32_t arrive() {
    const std::uint32_t before = arrivals.fetch_add(1);
    wake_all(arrivals);
    return before + 1;
  }

  void take_ticket() {
    std::uint32_t left = tickets.load();
    while (left == 0 || (left != unlimited && !tickets.compare_exchange_weak(left, left - 1))) {
      if (left == 0) sleep_while(tickets, 0);
      left = tickets.load();
    }
  }

  static constexpr std::uint32_t unlimited = UINT32_MAX;

  word arrivals{0};
  word tickets{0};
};

namespace {

gate::shared* map(int fd) {
  void* memory = ::mmap(nullptr, sizeof(gate::shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) throw std::system_error{errno, std::system_category(), "gate: mmap"};
  return static_cast<gate::shared*>(memory);
}

/// The gate as the process of a call sees it.
class visit {
 public:
  explicit visit(gate_handle at) : here_{at.pid == ::getpid()} {
    if (here_) {
      shared_ = reinterpret_cast<gate::shared*>(at.address);
      return;
    }
    const std::string path = "/proc/" + std::to_string(at.pid) + "/fd/" + std::to_string(at.fd);
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) throw std::system_error{errno, std::system_category(), path};
    shared_ = map(fd);
    ::close(fd);
  }
  ~visit() {
    if (!here_) ::munmap(shared_, sizeof(gate::shared));
  }
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;

  gate::shared* operator->() const noexcept { return shared_; }

 private:
  bool here_;
  gate::shared* shared_ = nullptr;
};

}  // namespace

gate::gate() : fd_{::memfd_create("gate", MFD_CLOEXEC)} {
  if (fd_ < 0 || ::ftruncate(fd_, sizeof(shared)) != 0) {
    throw std::system_error{errno, std::system_category(), "gate"};
  }
  shared_ = new (map(fd_)) shared;
}

gate::~gate() {
  ::munmap(shared_, sizeof(shared));
  ::close(fd_);
}

gate_handle gate::handle() const noexcept {
  return {::getpid(), fd_, reinterpret_cast<std::uintptr_t>(shared_)};
}

void gate::await_arrivals(unsigned count) const {
  while (true) {
    const std::uint32_t seen = shared_->arrivals.load();
    if (seen >= count) return;
    shared::sleep_while(shared_->arrivals, seen);
  }
}

unsigned gate::arrivals() const noexcept { return shared_->arrivals.load(); }

void gate::admit(unsigned count) const {
  shared_->tickets.fetch_add(count);
  shared::wake_all(shared_->tickets);
}

void gate::open() const {
  shared_->tickets.store(shared::unlimited);
  shared::wake_all(shared_->tickets);
}

int pass(gate_handle at, int result) {
  const visit here{at};
  here->arrive();
  here->take_ticket();
  return result;
}

int pass_and_throw(gate_handle at) {
  pass(at, 0);
  throw std::runtime_error{"passed"};
}

int arrive(gate_handle at, int result) {
  visit { at } -> arrive();
  return result;
}

unsigned count_arrival(gate_handle at) {
  return visit { at } -> arrive();
}

}  // namespace cadre::test
