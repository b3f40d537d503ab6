// SPDX-License-Identifier: MIT
// process_pool_executor::impl: what its workers answer, from the channel to the futures.
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "process/borrowed.hpp"
#include "process/exception_codec.hpp"
#include "process/process_pool.hpp"

namespace cadre {

using process::answer;
using process::answers;
using process::frame_kind;
using process::remote_worker;
using process::task;

namespace {

constexpr std::size_t most_answers = 64;  // of one worker, in one batch

/// What an answer holds beside its bytes.
class answer_parts final : public detail::parts_in_memory {
 public:
  /// Of new shared memory, at most `most` bytes are opened.
  answer_parts(std::span<const std::byte> bytes, const task& of, answer& a, std::size_t most)
      : parts_in_memory{bytes, a.landed.get()},
        of_{of},
        answer_{a},
        opened_(a.memories.size()),
        most_{most} {}

  std::shared_ptr<const void> attached(std::uint64_t number) override {
    if (number % 2 == 0) {
      for (const detail::memory_ptr& memory : of_.memories) {
        if (memory->number() == number / 2) return memory;
      }
      return nullptr;
    }
    if (number / 2 >= opened_.size()) return nullptr;
    detail::memory_ptr& memory = opened_[static_cast<std::size_t>(number / 2)];
    process::received_memory& received = answer_.memories[static_cast<std::size_t>(number / 2)];
    if (memory == nullptr) {
      if (!received.handle) {
        throw std::system_error{EMFILE, std::system_category(),
                                "process_pool: the shared memory of a result cannot be received, "
                                "since this process has no descriptor left; raise ulimit -n"};
      }
      admit(received.what.size);
      memory = detail::shared_memory::open(std::move(received));
    }
    return memory;
  }

 private:
  /// Its pages count as this process's as soon as it reads them.
  void admit(std::uint64_t size) {
    if (size > most_ - admitted_) {
      throw codec_error{"process_pool: the result of the call has shared memory of " +
                        std::to_string(size) + " bytes that the worker made, and may have " +
                        std::to_string(most_ - admitted_) + " more by the max_message of " +
                        std::to_string(most_) +
                        "; raise the limit, or make it here and pass it as an argument"};
    }
    admitted_ += size;
  }

  const task& of_;
  answer& answer_;
  std::vector<detail::memory_ptr> opened_;
  const std::size_t most_;
  std::size_t admitted_ = 0;
};

/// To the kernel's tick, of some milliseconds; for a fifth of what the clock costs.
std::chrono::steady_clock::time_point coarse_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::chrono::steady_clock::time_point{std::chrono::seconds{now.tv_sec} +
                                               std::chrono::nanoseconds{now.tv_nsec}};
}

std::exception_ptr decode_result_exception(decoder& in) noexcept {
  try {
    return detail::decode_exception(in);
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

/// Reads what `w` has sent. True if that was anything. For `own` and `kept` see conclude().
bool process_pool_executor::impl::drain(remote_worker& w, lock& held, const detail::state_base* own,
                                        std::optional<untold>* kept) {
  if (w.reading || w.fault != nullptr || !w.readable()) return false;
  const process::borrowed<answers> batch;
  const process::borrowed<std::vector<verdict>> verdicts;
  w.place_answer();
  w.reading = true;
  held.unlock();
  const char* fault = remote_worker::damaged;
  try {
    verdicts->reserve(most_answers);  // there is one of each at most
    if (w.read(*batch, most_answers)) fault = nullptr;
  } catch (const std::exception&) {
    fault = "this process had no memory for what it had sent, and ended it";
  }
  held.lock();
  w.reading = false;
  w.prefetch_next();
  if (!deaths_.empty()) wake_collector();  // which could not bury it while we were reading
  for (answer& a : batch->list) take_answer(w, *batch, a, *verdicts);
  if (fault != nullptr) condemn(w, fault);
  if (w.is_sending()) w.send_more();
  begin_head(w);
  pump();
  const bool wake = start_due();
  count(*verdicts);
  held.unlock();
  if (wake) wake_collector();
  conclude(*batch, *verdicts, held, own, kept);
  return true;
}

void process_pool_executor::impl::take_answer(remote_worker& w, const answers& from, answer& a,
                                              std::vector<verdict>& to) {
  if (w.fault != nullptr) return;
  task* t = nullptr;
  if (!w.take_next(a.header, t)) return condemn(w);  // its death tells its call
  ++answers_;
  w.slow = false;
  if (std::exchange(w.initialising, false)) {
    initialised(w, from, a);
    return;
  }
  if (w.in_flight() == 0) w.idle_since = coarse_now();
  if (w.now == remote_worker::condition::ending) limit_end(w);
  if (t == nullptr) return;
  t->worker = nullptr;
  ++w.calls;
  if (t->weight != 0) measure(*t, a.header);
  if (t->stopping == process::stop_reason::timeout) {
    to.push_back({t, nullptr, timed_out(*t)});
  } else {
    to.push_back({t, &a});
  }
  retire_if_due(w, a.header);
}

void process_pool_executor::impl::measure(const task& t, const process::answer_header& a) noexcept {
  const auto total = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, std::chrono::nanoseconds{clock::now() - t.submitted}.count()));
  const std::uint64_t ns = std::min(a.run_ns, total);  // a worker may say anything
  mean_run_ns_ =
      mean_run_ns_ == 0 ? std::max<std::uint64_t>(ns, 1) : (mean_run_ns_ * 7 + ns) / 8 + 1;
  // relaxed: a hint
  period_.store(detail::sampling_period(mean_run_ns_), std::memory_order_relaxed);
  run_times_.add(ns, t.weight);
  queue_times_.add(total - ns, t.weight);
}

/// Under the lock, before the futures are told: whoever sees a result sees it counted, and finds its room.
void process_pool_executor::impl::count(const std::vector<verdict>& all) noexcept {
  std::size_t bytes = 0;
  for (const verdict& v : all) {
    bytes += v.of->size();
    ++(v.is_value() ? totals_.finished : totals_.failed);
    if (v.of->stopping == process::stop_reason::timeout) ++totals_.timed_out;
  }
  give_back(all.size(), bytes);
}

/// While user code runs on this thread on the pool's behalf.
class process_pool_executor::impl::user_code {
 public:
  explicit user_code(const impl& of) noexcept : outer_{std::exchange(user_code_here(), &of)} {}
  ~user_code() { user_code_here() = outer_; }
  user_code(const user_code&) = delete;
  user_code& operator=(const user_code&) = delete;

 private:
  const impl* const outer_;
};

namespace {

/// While futures are told on a thread that may run none of their callbacks.
class taking_callbacks {
 public:
  explicit taking_callbacks(detail::callback_taker* to) noexcept
      : outer_{detail::set_this_thread_taker(to)} {}
  ~taking_callbacks() { detail::set_this_thread_taker(outer_); }
  taking_callbacks(const taking_callbacks&) = delete;
  taking_callbacks& operator=(const taking_callbacks&) = delete;

 private:
  detail::callback_taker* const outer_;
};

}  // namespace

void process_pool_executor::impl::untold::take(task& t, answers& batch, answer& a) {
  of = &t;
  if (!a.large) {
    const auto body = batch.body(a);
    from.bytes.assign(body.begin(), body.end());
    a.offset = 0;
  }
  from.list.push_back(std::move(a));
}

/// Tells the futures, which were counted. Runs none of the user's code: what may be that is given to the
/// crew; but an answer to `own`, which the caller waits for, is put into `kept` for it to tell(). Is called
/// without the lock, and returns with it.
void process_pool_executor::impl::conclude(answers& from, std::vector<verdict>& all, lock& held,
                                           const detail::state_base* own,
                                           std::optional<untold>* kept) noexcept {
  {
    const taking_callbacks here{this};
    for (verdict& v : all) {
      task& t = *v.of;
      detail::state_base& call = t.call();
      if (v.answered == nullptr) {
        // Nobody else starts it: it is in no queue, and withdraw() refuses.
        if (call.try_start()) call.fail(std::move(v.error));
        drop(t);
      } else if (v.is_value() && call.portable()->is_plain(from.body(*v.answered))) {
        decode_answer(t, from, *v.answered);
        call.get_status() == detail::state_base::error ? drop(t) : t.destroy();
      } else if (&call == own) {
        kept->emplace().take(t, from, *v.answered);
      } else {
        auto what = std::make_unique<untold>();
        what->take(t, from, *v.answered);
        give_to_crew([this, what = std::move(what)] { tell(*what); });
      }
    }
  }
  const std::size_t calls = all.size();
  all.clear();
  held.lock();
  if (calls != 0) over(calls);
}

void process_pool_executor::impl::conclude(std::vector<verdict>& all, lock& held) noexcept {
  answers none;
  conclude(none, all, held);
}

void process_pool_executor::impl::decode_answer(task& t, const answers& from, answer& a) noexcept {
  detail::state_base& call = t.call();
  if (!call.try_start()) return;
  decoder in{from.body(a)};
  answer_parts parts{from.parts(a), t, a, options_.max_message};
  detail::apart::receive(in, parts);
  if (a.header.kind == frame_kind::value) {
    const auto status = call.portable()->decode_result(call, in);
    if (status == detail::state_base::error) count_as_failed();
    const taking_callbacks here{this};  // not while it is decoded: others may be told by that
    call.finish(status);
  } else {
    std::exception_ptr error = decode_result_exception(in);
    const taking_callbacks here{this};
    call.fail(std::move(error));
  }
}

/// Lets go of a call that was told, whose value or exception may be of the user's types.
void process_pool_executor::impl::drop(task& t) noexcept {
  if (!t.destroy_but_last()) give_to_crew([&t] { t.destroy(); });
}

/// Decodes an answer where user code may run, and tells its future. Callbacks run elsewhere.
void process_pool_executor::impl::tell(untold& what) noexcept {
  const user_code here{*this};
  decode_answer(*what.of, what.from, what.from.list.front());
  what.of->destroy();
}

void process_pool_executor::impl::give_to_crew(process::crew::job work) {
  const bool at_once = crew_.run(shared_from_this(), [this, work = std::move(work)]() mutable {
    const user_code here{*this};
    // With what it holds: values, exceptions and callbacks of the user's.
    std::exchange(work, process::crew::job{})();
  });
  // Else it looks after the crew until that has come to it.
  if (!at_once && user_code_here() == this) wake_collector();
}

bool process_pool_executor::impl::take(detail::state_base& done,
                                       detail::listener* callbacks) noexcept {
  give_to_crew([state = detail::ref{&done}, callbacks] { state->run_callbacks(callbacks); });
  return true;
}

/// A call that was counted as finished, before its result could not be decoded.
void process_pool_executor::impl::count_as_failed() noexcept {
  const std::lock_guard held{mutex_};
  --totals_.finished;
  ++totals_.failed;
}

}  // namespace cadre
