// SPDX-License-Identifier: MIT
// A worker that writes anything, as its pool reads it: answer_reader, remote_worker::take_next() and
// what decodes results. Each byte of an input is a step of the worker or of the pool. No byte may be
// read that was not copied, each call may come back once at most, and no answer whose check is wrong.
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>
#include <cadre/hooks.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "fuzz/input.hpp"
#include "ipc/channel.hpp"
#include "ipc/region.hpp"
#include "process/answers.hpp"
#include "process/code.hpp"
#include "process/exception_codec.hpp"
#include "process/frame.hpp"
#include "process/remote_worker.hpp"
#include "process/shared_page.hpp"
#include "process/task.hpp"

namespace {

using namespace cadre;
using cadre::test::input;
using process::frame_kind;
using process::remote_worker;
using process::task;

constexpr std::size_t max_message = 10'000;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what);
  std::abort();
}

std::vector<std::string> echo(std::vector<std::string> texts, const std::string& /*padding*/) {
  return texts;
}

std::vector<std::uint64_t> echo_numbers(std::vector<std::uint64_t> all,
                                        const std::string& /*padding*/) {
  return all;
}

/// Makes the calls of submit() and keeps them.
class call_maker final : public executor {
 public:
  detail::state_base* last = nullptr;

 private:
  void do_enqueue(detail::state_base& call, const submit_options&) override { last = &call; }
  shutdown_report do_shutdown(const shutdown_options&) override { return {}; }
  executor_stats do_stats() const override { return {}; }
  unsigned do_max_workers() const noexcept override { return 1; }
  bool do_runs_elsewhere() const noexcept override { return true; }
};

/// The memory of a worker, which writes what it likes.
class hostile_worker {
 public:
  explicit hostile_worker(remote_worker& parent)
      : mine_{ipc::region::create(ipc::channel_region_size(remote_worker::ring_capacity),
                                  ipc::region::access::mine)},
        half_{ipc::own_half_of(mine_.memory)},
        shared_{ipc::region::open(ipc::descriptor{::dup(parent.descriptors()[1])},
                                  process::shared_page_size, ipc::region::access::both)},
        checks_{parent.secrets().to_parent} {
    parent.attach(mine_.handle);
  }

  void write(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) half_.ring[tail_++ & (half_.ring.size() - 1)] = b;
    half_.words.tail.store(tail_);
  }
  void answer(input& from) {
    process::answer_header header;
    header.kind = static_cast<frame_kind>(from.byte());
    header.number = from.byte();
    header.size = from.byte() * (from.byte() % 16U == 0 ? 100U : 1U);
    header.run_ns = from.byte();
    const bool may_land = header.kind == frame_kind::value && header.size == sizeof(std::uint64_t);
    if (may_land) header.parts = from.byte() * sizeof(std::uint64_t);
    // Now and then that of another frame.
    constexpr std::uint64_t forged = 255;
    if (header.run_ns != forged) header.check = checks_.next(), checks_.advance();
    write(std::as_bytes(std::span{&header, 1}));
    write(from.take(static_cast<std::size_t>(header.size)));
    if (header.parts != 0) write(from.take(detail::part_alignment - sizeof(std::uint64_t)));
    write(from.take(static_cast<std::size_t>(header.parts)));
  }
  void consume(std::uint64_t bytes) { half_.words.head.store(head_ += bytes); }
  void set_tail(std::uint64_t to) { half_.words.tail.store(tail_ = to); }
  void take(std::uint64_t number) {
    page().claims.take(number % ipc::claim_table::slot_count, number);
  }
  void scribble(std::size_t at, std::byte what) {
    shared_.bytes()[at % shared_.bytes().size()] = what;
  }

 private:
  process::shared_page& page() { return process::shared_page::find_in(shared_); }

  ipc::created_region mine_;
  ipc::own_half half_;
  ipc::region shared_;
  process::frame_checks checks_;
  std::uint64_t tail_ = 0;
  std::uint64_t head_ = 0;
};

/// As much of a pool as has to do with one worker.
class small_pool {
 public:
  remote_worker& worker() noexcept { return worker_; }

  ~small_pool() {
    for (task* t : worker_.take_all()) give_up(t);
    require(sent_.empty(), "a call was forgotten");
  }

  void submit(std::size_t padding) {
    if (!worker_.may_send()) return;
    if (padding % 2 == 0) {
      futures_.push_back(
          maker_.submit(&echo, std::vector<std::string>{"a", ""}, std::string(padding, 'x')));
    } else {
      numbers_.push_back(maker_.submit(&echo_numbers, std::vector<std::uint64_t>{1, 2},
                                       std::string(padding, 'x')));
    }
    process::request_header header;
    encoder frame;
    frame.write(&header, sizeof header);
    maker_.last->portable()->encode(*maker_.last, frame);
    header.size = frame.size() - sizeof header;
    detail::large_parts none{detail::large_parts::mode::copied, nullptr};
    task* t = task::make(*maker_.last, {}, frame, none, 1);
    t->header().size = header.size;
    sent_.insert(t);
    worker_.send(*t);
  }

  void revoke(std::size_t which) {
    if (sent_.empty()) return;
    task* t = *std::next(sent_.begin(), static_cast<std::ptrdiff_t>(which % sent_.size()));
    if (worker_.revoke(*t)) give_up(t);
  }
  void revoke_last() {
    if (task* t = worker_.revoke_last()) give_up(t);
  }

  /// As process_pool_executor does.
  void read() {
    if (worker_.fault != nullptr) return;
    batch_.clear();
    worker_.place_answer();
    const bool sound = worker_.read(batch_, 64);
    for (const process::answer& a : batch_.list) {
      require(checks_.accept(a.header.check), "an answer is the next frame");
      const std::size_t before = worker_.in_flight();
      task* t = nullptr;
      if (!worker_.take_next(a.header, t)) {
        require(t == nullptr, "what is not answered stays where it is");
        worker_.fault = remote_worker::damaged;
        return;
      }
      require(worker_.in_flight() + 1 == before, "one answer is for one call");
      const bool told = a.header.kind == frame_kind::value || a.header.kind == frame_kind::error;
      require(t != nullptr ? told : a.header.kind == frame_kind::skipped,
              "an answer is of a kind that its call can have");
      if (t != nullptr) conclude(t, a);
    }
    if (!sound || worker_.poisoned()) worker_.fault = remote_worker::damaged;
    worker_.send_more();
    worker_.head();
    worker_.has_spare();
  }

 private:
  void conclude(task* t, const process::answer& a) {
    require(sent_.erase(t) == 1, "a call comes back once");
    detail::state_base& call = t->call();
    require(call.try_start(), "a call is over once");
    decoder in{batch_.body(a)};
    detail::parts_in_memory parts{batch_.parts(a), a.landed.get()};
    detail::apart::receive(in, parts);
    if (a.header.kind == frame_kind::value) {
      call.finish(call.portable()->decode_result(call, in));
    } else {
      std::exception_ptr error;
      try {
        error = detail::decode_exception(in);
      } catch (...) {
        error = std::current_exception();
      }
      call.fail(error);
    }
    t->destroy();
  }

  void give_up(task* t) {
    require(sent_.erase(t) == 1, "a call comes back once");
    require(t->call().try_start(), "a call is over once");
    t->call().fail(std::make_exception_ptr(worker_died{{}}));
    t->destroy();
  }

  remote_worker worker_{0, 1, max_message};
  process::frame_checks checks_{worker_.secrets().to_parent};
  call_maker maker_;
  std::vector<future<std::vector<std::string>>> futures_;
  std::vector<future<std::vector<std::uint64_t>>> numbers_;
  std::set<task*> sent_;
  process::answers batch_;
};

void step(input& in, small_pool& pool, hostile_worker& worker) {
  switch (in.byte() % 12) {
    case 0:
      return worker.write(in.take(in.byte()));
    case 1:
    case 2:
      return worker.answer(in);
    case 3:
      return worker.set_tail(in.word());
    case 4:
      return worker.consume(in.byte() * 1000U);
    case 5:
      return worker.take(in.byte());
    case 6:
      return worker.scribble(in.byte() * 16U + in.byte(), std::byte{in.byte()});
    case 7:
      return pool.submit(in.byte());
    case 8:
      return pool.submit(in.byte() * 3000U);
    case 9:
      return pool.revoke(in.byte());
    case 10:
      return pool.revoke_last();
    default:
      pool.worker().arm();
      pool.worker().disarm();
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  process::install_crossings();
  set_unhandled_hook([](const unhandled&) noexcept {});  // nobody asks for the results
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  input in{data, size};
  small_pool pool;
  hostile_worker worker{pool.worker()};
  pool.submit(1);
  pool.submit(2);
  while (!in.empty()) {
    step(in, pool, worker);
    pool.read();
  }
  return 0;
}
