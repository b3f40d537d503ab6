// SPDX-License-Identifier: MIT
#include <cadre/detail/map_schedule.hpp>
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>
#include <cadre/hooks.hpp>

#include <algorithm>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "future/waiter.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre::detail {
namespace {

using clock = std::chrono::steady_clock;

// Longer chunks cost less in bookkeeping, shorter ones let other calls through sooner and share
// out the end more evenly. Taking and ending a chunk costs about 0.2 us.
constexpr std::size_t chunk_ns = 50'000;
constexpr std::size_t shortest_chunk_ns = 4'000;
// How fast chunks may grow: the first elements may not be like the others.
constexpr std::size_t growth = 8;

// A reader of chunks shorter than this naps so long, unless everything is done before.
constexpr std::size_t nap_chunk_ns = 500'000;
constexpr std::chrono::milliseconds nap{1};

}  // namespace

class map_schedule::impl {
 public:
  explicit impl(const settings& s) : settings_{s}, limit_{s.elements} {}

  bool take(chunk& c) {
    const std::lock_guard lock{mutex_};
    if (next_ >= limit_) return false;
    c = {chunks_.size(), next_, next_ + choose_size()};
    next_ = c.last;
    chunks_.push_back({c.first, c.last});
    return true;
  }

  void end(const chunk& c, ending e, clock::duration took) {
    const std::lock_guard lock{mutex_};
    measured_ns_ += static_cast<std::size_t>(std::chrono::nanoseconds{took}.count());
    measured_elements_ += e.end - c.first;
    record& r = chunks_[c.number];
    r.last = e.end;
    r.error = std::move(e.error);
    r.ended = true;
    // What lies behind an exception will never be asked for.
    if (r.error && settings_.ordered) limit_ = next_;
    if (!settings_.ordered) ended_.push_back(c.number);
    ++ended_count_;
    // relaxed: the lock orders; spinning readers only look for a change.
    changes_.fetch_add(1, std::memory_order_relaxed);
    if (waiting_ && has_next() && (!napping_ || all_ended() || error_ahead())) wake();
  }

  /// Takes the next chunk for the reader; false if it must wait. Throws what ends the iteration.
  bool read(chunk& c) {
    const std::lock_guard lock{mutex_};
    if (error_) throw_error();
    if (!has_next()) {
      if (yielded_ == chunks_.size() && next_ >= limit_) {
        if (dropped_) std::rethrow_exception(std::exchange(dropped_, nullptr));
        c = {};
        return true;
      }
      return false;
    }
    record& r = chunks_[settings_.ordered ? yielded_ : ended_.front()];
    if (!settings_.ordered) ended_.pop_front();
    ++yielded_;
    error_ = std::exchange(r.error, nullptr);
    if (error_) limit_ = next_;
    c = {0, r.first, r.last};
    if (c.first == c.last) throw_error();
    return true;
  }

  /// Blocks until read() may succeed. False after the deadline.
  bool wait() {
    // relaxed: only a change is looked for.
    const std::uint32_t seen = changes_.load(std::memory_order_relaxed);
    if (!begin_wait()) return true;
    const auto changed = [&] {
      return changes_.load(std::memory_order_relaxed) != seen;  // relaxed: as above
    };
    if (spinning_pays() && this_thread_worker() == nullptr) sync::spin_until(changed, wait_spin);
    const blocking_scope scope{nullptr, 0, false};
    const auto nap_end = napping_ ? clock::now() + nap : never;
    if (parker_.park(std::min(settings_.deadline, nap_end))) return true;
    const std::lock_guard lock{mutex_};
    return !std::exchange(waiting_, false) || has_next() || clock::now() < settings_.deadline;
  }

  void stop() {
    const std::lock_guard lock{mutex_};
    limit_ = std::min(limit_, next_);
  }

  void drop(std::exception_ptr reason) {
    const std::lock_guard lock{mutex_};
    if (next_ >= limit_) return;
    limit_ = next_;
    dropped_ = std::move(reason);
    if (waiting_) wake();
  }

  std::size_t unread() {
    const std::lock_guard lock{mutex_};
    std::size_t elements = settings_.elements;
    for (std::size_t i = 0; settings_.ordered && i < yielded_; ++i) {
      elements -= chunks_[i].last - chunks_[i].first;
    }
    return elements;
  }

  /// An exception that the reader never came to.
  std::exception_ptr unobserved() {
    if (threw_) return nullptr;
    for (record& r : chunks_) {
      if (r.error) return r.error;
    }
    return error_;
  }

  bool is_over() const { return settings_.deadline != never && clock::now() >= settings_.deadline; }

  const settings& get_settings() const { return settings_; }
  const void* pool = nullptr;  // the identity of the executor

 private:
  struct record {
    std::size_t first;
    std::size_t last;
    std::exception_ptr error = nullptr;
    bool ended = false;
  };

  std::size_t choose_size() {
    const std::size_t left = limit_ - next_;
    if (settings_.chunk_size != 0) return std::min(settings_.chunk_size, left);
    if (measured_elements_ == 0) return 1;
    const std::size_t ns = std::max<std::size_t>(1, measured_ns_ / measured_elements_);
    const std::size_t fair_share = left / (std::size_t{2} * settings_.workers);
    largest_ =
        std::min({chunk_ns / ns, std::max(fair_share, shortest_chunk_ns / ns), largest_ * growth});
    largest_ = std::max<std::size_t>(largest_, 1);
    return std::min(largest_, left);
  }

  bool has_next() const {
    return settings_.ordered ? yielded_ < chunks_.size() && chunks_[yielded_].ended
                             : !ended_.empty();
  }

  bool all_ended() const { return ended_count_ == chunks_.size() && next_ >= limit_; }
  bool error_ahead() const {
    return settings_.ordered ? chunks_[yielded_].error != nullptr
                             : chunks_[ended_.front()].error != nullptr;
  }

  bool begin_wait() {
    const std::lock_guard lock{mutex_};
    waiting_ = !has_next() && !(yielded_ == chunks_.size() && next_ >= limit_);
    // Who reads many short chunks naps instead of being woken for each of them, which would cost
    // the workers more than it gives the reader. The first one is always announced.
    napping_ = yielded_ != 0 && measured_ns_ < nap_chunk_ns * ended_count_;
    return waiting_;
  }

  void wake() {
    waiting_ = false;
    parker_.unpark();
  }

  [[noreturn]] void throw_error() {
    threw_ = true;
    std::rethrow_exception(std::exchange(error_, nullptr));
  }

  const settings settings_;
  sync::mutex mutex_;              // guards all below but the atomic and the parker
  std::size_t next_ = 0;           // the first element that nobody has taken
  std::size_t limit_;              // and the first that nobody may take
  std::deque<record> chunks_;      // by number
  std::deque<std::size_t> ended_;  // unordered: numbers in the order of their end
  std::size_t yielded_ = 0;        // chunks
  std::exception_ptr error_;       // to be thrown when the elements before it are read
  std::exception_ptr dropped_;     // why the rest will not be run
  bool threw_ = false;
  bool waiting_ = false;
  bool napping_ = false;
  std::size_t ended_count_ = 0;  // chunks
  std::size_t measured_ns_ = 0;
  std::size_t measured_elements_ = 0;
  std::size_t largest_ = 1;
  sync::atomic<std::uint32_t> changes_{0};
  sync::parker parker_;
};

/// A posted call that runs one chunk and queues itself again, so that other calls get their turn.
class map_schedule::runner final : public state_base {
 public:
  explicit runner(std::shared_ptr<map_schedule> schedule)
      : state_base{posted}, schedule_{std::move(schedule)} {}

  bool run(run_context& context) noexcept override {
    // Short chunks are run one after the other, for as long as one of the right length takes.
    const clock::time_point end = clock::now() + std::chrono::nanoseconds{chunk_ns};
    bool more = schedule_->run_one();
    while (more && clock::now() < end) more = schedule_->run_one();
    if (more) go_on();
    context.about_to_publish(true);
    return true;
  }

  void fail(std::exception_ptr reason) noexcept override {
    schedule_->drop(reason ? std::move(reason)
                           : std::make_exception_ptr(cancelled_error{
                                 "map: its executor was shut down with cancel_pending; the "
                                 "elements that had not begun were not run"}));
  }

 private:
  void go_on() noexcept {
    waiting_worker* worker = this_thread_worker();
    if (worker != nullptr && worker->works_for(schedule_->impl_->pool)) {
      add_ref();
      worker->repost(*this);
      return;
    }
    while (schedule_->run_one()) {
    }
  }

  std::shared_ptr<map_schedule> schedule_;
};

map_schedule::map_schedule(const settings& s) : impl_{std::make_unique<impl>(s)} {}

map_schedule::~map_schedule() {
  if (auto error = impl_->unobserved()) report_unhandled("call", "map", std::move(error));
}

void map_schedule::start(const std::shared_ptr<map_schedule>& self, executor& where) {
  impl& i = *self->impl_;
  i.pool = executor_access::identity(where);
  call_chain runners;
  const settings& s = i.get_settings();
  const unsigned workers = s.caller_runs ? std::max(s.workers, 2U) - 1 : s.workers;
  const std::size_t count = std::min<std::size_t>(workers, s.elements);
  for (std::size_t n = 0; n < count; ++n) runners.push(*new runner{self});
  runners.submit(where);
}

bool map_schedule::run_one() noexcept {
  chunk c{};
  if (!impl_->take(c)) return false;
  const clock::time_point begin = clock::now();
  ending e = run(c);
  impl_->end(c, std::move(e), clock::now() - begin);
  return true;
}

map_schedule::chunk map_schedule::next() {
  try {
    const waiting_worker* worker = this_thread_worker();
    const bool helps =
        impl_->get_settings().caller_runs || (worker != nullptr && worker->works_for(impl_->pool));
    chunk c{};
    while (!impl_->read(c)) {
      if (helps && !impl_->is_over() && run_one()) continue;
      if (!impl_->wait()) throw_map_timeout(impl_->unread());
    }
    return c;
  } catch (...) {
    impl_->stop();
    throw;
  }
}

void map_schedule::abandon() noexcept { impl_->stop(); }

void map_schedule::drop(std::exception_ptr reason) noexcept { impl_->drop(std::move(reason)); }

void throw_bad_buffer_size() {
  throw std::invalid_argument{"map: buffer_size must be greater than 0, got 0"};
}

void throw_bad_caller_runs() {
  throw std::invalid_argument{
      "map: caller_runs was given with buffer_size, or to an executor of other processes; the loop "
      "can run elements only where all of them lie ready in this process"};
}

void throw_map_timeout(std::size_t unread) {
  throw timeout_error{"map: " + std::to_string(unread) +
                      " elements were not ready when the time was over; those that had not begun "
                      "are cancelled"};
}

}  // namespace cadre::detail
