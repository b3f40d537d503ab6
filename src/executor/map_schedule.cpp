// SPDX-License-Identifier: MIT
#include <cadre/detail/map_schedule.hpp>
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>
#include <cadre/hooks.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error_of.hpp"
#include "future/waiter.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre::detail {
namespace {

using clock = std::chrono::steady_clock;

// Longer chunks cost less in bookkeeping, some 0.2 us each; shorter ones let other calls through sooner.
constexpr std::size_t chunk_ns = 50'000;
constexpr std::size_t shortest_chunk_ns = 4'000;
// How fast chunks may grow: the first elements may not be like the others.
constexpr std::size_t growth = 8;

// A reader of chunks shorter than this naps, unless everything is done before.
constexpr std::size_t nap_chunk_ns = 500'000;

}  // namespace

class map_schedule::impl {
 public:
  explicit impl(const settings& s)
      : settings_{s},
        limit_{s.elements},
        stop_{is_tracked() ? std::stop_source{} : std::stop_source{std::nostopstate}} {}

  /// Throws std::bad_alloc; then nothing was taken.
  bool take(chunk& c, state_base* by) {
    // A stop that goes on elsewhere may not have come to the callback of this map yet.
    if (settings_.call.stop_token.stop_requested()) drop_rest();
    const std::lock_guard lock{mutex_};
    if (next_ >= limit_) return false;
    const std::size_t size = size_of_next();
    c = {chunks_.size(), next_, next_ + size};
    chunks_.push_back({c.first, c.last, by});
    largest_ = size;
    next_ = c.last;  // not before there was memory
    return true;
  }

  void end(const chunk& c, ending e, clock::duration took) noexcept {
    const std::lock_guard lock{mutex_};
    measured_ns_ += static_cast<std::size_t>(std::chrono::nanoseconds{took}.count());
    measured_elements_ += e.end - c.first;
    record& r = chunks_[c.number];
    r.last = e.end;
    r.error = std::move(e.error);
    r.ended = true;
    // What lies behind an exception will never be asked for.
    if (r.error) limit_ = next_;
    if (!settings_.ordered) append_ended(c.number);
    ++ended_count_;
    // relaxed: the lock orders; spinning readers only look for a change.
    changes_.fetch_add(1, std::memory_order_relaxed);
    if (!waiting_) return;
    const bool enough = draining_ ? ended_count_ == chunks_.size()
                                  : has_next() && (!napping_ || all_ended() || error_ahead());
    if (enough) wake();
  }

  /// Whether the reader had better run a chunk before it calls in workers: it is not longer at it than a
  /// worker takes to wake up. Of many elements the first is a try, which nobody misses.
  bool is_short() {
    constexpr std::size_t many = 64;
    constexpr std::size_t wake_up_ns = 10'000;
    const std::lock_guard lock{mutex_};
    if (next_ >= limit_) return false;
    if (measured_elements_ == 0) {
      return settings_.chunk_size == 0 && settings_.elements > many * settings_.workers;
    }
    return measured_ns_ + size_of_next() * ns_per_element() < wake_up_ns;
  }

  bool is_all_taken() {
    const std::lock_guard lock{mutex_};
    return next_ >= limit_;
  }

  /// Blocks until all that was taken has ended. After stop(). Throws deadlock_error.
  void drain() {
    if (generation_ != fork_generation()) return;  // who runs it is in the parent
    std::vector<ref<state_base>> runners;
    std::vector<state_base*> awaited;
    {
      const std::lock_guard lock{mutex_};
      if (ended_count_ == chunks_.size()) return;  // as a rule: no worker is to be called in for us
      for (const record& r : chunks_) {
        if (!r.ended && r.by != nullptr) runners.emplace_back(r.by);
      }
    }
    for (const auto& each : runners) awaited.push_back(each.get());
    const blocking_scope scope{awaited.data(), awaited.size(), true};
    for (;;) {
      {
        const std::lock_guard lock{mutex_};
        if (ended_count_ == chunks_.size()) return;
        waiting_ = draining_ = true;
      }
      parker_.park();
    }
  }

  /// Takes the next chunk for the reader; false if it must wait. Throws what ends the iteration.
  bool read(chunk& c) {
    const std::lock_guard lock{mutex_};
    if (over_) {
      c = {};
      return true;
    }
    if (error_) throw_error();
    if (!has_next()) {
      if (yielded_ == chunks_.size() && next_ >= limit_) {
        if (dropped_) std::rethrow_exception(std::exchange(dropped_, nullptr));
        c = {};
        return true;
      }
      return false;
    }
    record& r = chunks_[settings_.ordered ? yielded_ : first_ended_];
    if (!settings_.ordered) first_ended_ = r.next_ended;
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
    const auto nap_end = napping_ ? clock::now() + most_nap : never;
    if (parker_.park(std::min(settings_.deadline, nap_end))) return true;
    const std::lock_guard lock{mutex_};
    return !std::exchange(waiting_, false) || has_next() || clock::now() < settings_.deadline;
  }

  /// Nothing more is begun, or read.
  void stop() {
    const std::lock_guard lock{mutex_};
    limit_ = std::min(limit_, next_);
    over_ = true;
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
    for (std::size_t i = 0; i < chunks_.size(); ++i) {
      const bool done = settings_.ordered ? i < yielded_ : chunks_[i].ended;
      if (done) elements -= chunks_[i].last - chunks_[i].first;
    }
    return elements;
  }

  /// Whoever has called it is told of one exception, and knows that the others may have thrown, too.
  void failed() {
    const std::lock_guard lock{mutex_};
    threw_ = true;
  }

  /// An exception that the reader never came to.
  std::exception_ptr unobserved() {
    if (threw_) return nullptr;
    for (record& r : chunks_) {
      if (r.error) return r.error;
    }
    return error_;
  }

  /// It has a name, or can be stopped.
  bool is_tracked() const {
    return !settings_.call.name.empty() || settings_.call.stop_token.stop_possible();
  }

  /// Of the elements; for their own use.
  std::stop_token stop_token() const { return stop_.get_token(); }

  /// The rest is dropped; then what runs is asked to stop, lest who stops at once begins another element.
  void request_stop() noexcept {
    drop_rest();
    stop_.request_stop();
  }

  void follow_token() {
    const std::stop_token& given = settings_.call.stop_token;
    if (given.stop_possible()) callback_.emplace(given, on_stop{this});
  }

  bool is_over() const { return settings_.deadline != never && clock::now() >= settings_.deadline; }

  const settings& get_settings() const { return settings_; }
  executor* where = nullptr;
  const void* pool = nullptr;  // its identity

 private:
  static constexpr std::size_t none = SIZE_MAX;

  struct on_stop {
    impl* self;
    void operator()() const noexcept { self->request_stop(); }
  };

  struct record {
    std::size_t first;
    std::size_t last;
    state_base* by;  // whose run() it is in, until it has ended
    std::exception_ptr error = nullptr;
    bool ended = false;
    std::size_t next_ended = none;
  };

  void drop_rest() noexcept {
    drop(error_of([this] {
      return cancelled_error{
          settings_.who +
          std::string{": it was asked to stop; the elements that had not begun were not run"}};
    }));
  }

  /// Needs no memory.
  void append_ended(std::size_t number) noexcept {
    (first_ended_ == none ? first_ended_ : chunks_[last_ended_].next_ended) = number;
    last_ended_ = number;
  }

  std::size_t ns_per_element() const {
    return std::max<std::size_t>(1, measured_ns_ / measured_elements_);
  }

  std::size_t size_of_next() const {
    const std::size_t left = limit_ - next_;
    if (settings_.chunk_size != 0) return std::min(settings_.chunk_size, left);
    if (measured_elements_ == 0) return 1;
    const std::size_t ns = ns_per_element();
    const std::size_t fair_share = left / (std::size_t{2} * settings_.workers);
    const std::size_t size =
        std::min({chunk_ns / ns, std::max(fair_share, shortest_chunk_ns / ns), largest_ * growth});
    return std::min(std::max<std::size_t>(size, 1), left);
  }

  bool has_next() const {
    return settings_.ordered ? yielded_ < chunks_.size() && chunks_[yielded_].ended
                             : first_ended_ != none;
  }

  bool all_ended() const { return ended_count_ == chunks_.size() && next_ >= limit_; }
  bool error_ahead() const {
    return settings_.ordered ? chunks_[yielded_].error != nullptr
                             : chunks_[first_ended_].error != nullptr;
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
  const unsigned generation_ = fork_generation();
  sync::mutex mutex_;          // guards all below but the atomic and the parker
  std::size_t next_ = 0;       // the first element that nobody has taken
  std::size_t limit_;          // and the first that nobody may take
  std::deque<record> chunks_;  // by number
  // Unordered: those that have ended and were not read, by next_ended, in the order of their end.
  std::size_t first_ended_ = none;
  std::size_t last_ended_ = none;
  std::size_t yielded_ = 0;     // chunks
  std::exception_ptr error_;    // to be thrown when the elements before it are read
  std::exception_ptr dropped_;  // why the rest will not be run
  bool threw_ = false;
  bool waiting_ = false;
  bool napping_ = false;
  bool draining_ = false;
  bool over_ = false;
  std::size_t ended_count_ = 0;  // chunks
  std::size_t measured_ns_ = 0;
  std::size_t measured_elements_ = 0;
  std::size_t largest_ = 1;
  sync::atomic<std::uint32_t> changes_{0};
  sync::parker parker_;
  std::stop_source stop_;
  std::optional<std::stop_callback<on_stop>> callback_;  // last: it uses all above
};

/// A posted call that runs one chunk and queues itself again, so that other calls get their turn.
class map_schedule::runner final : public state_base {
 public:
  explicit runner(std::shared_ptr<map_schedule> schedule)
      : state_base{posted}, schedule_{std::move(schedule)} {}

  bool run(run_context& context) noexcept override {
    const bool listed = context.registry != nullptr && schedule_->impl_->is_tracked();
    call_registry::entry entry{this};
    if (listed) context.registry->enter(entry);
    // Short chunks are run one after the other, for as long as one of the right length takes.
    const clock::time_point end = clock::now() + std::chrono::nanoseconds{chunk_ns};
    bool more = schedule_->run_one(this);
    while (more && clock::now() < end) more = schedule_->run_one(this);
    if (listed) context.registry->leave(entry);
    if (more) go_on();
    context.about_to_publish(true);
    return true;
  }

  void fail(std::exception_ptr reason) noexcept override {
    const char* const who = schedule_->impl_->get_settings().who;
    schedule_->drop(reason ? std::move(reason) : error_of([who] {
      return cancelled_error{who +
                             std::string{": its executor was shut down with cancel_pending; the "
                                         "elements that had not begun were not run"}};
    }));
  }

  bool request_stop() noexcept override {
    schedule_->impl_->request_stop();
    return true;
  }
  std::string_view name() const noexcept override {
    return schedule_->impl_->get_settings().call.name;
  }

 private:
  void go_on() noexcept {
    impl& i = *schedule_->impl_;
    waiting_worker* worker = this_thread_worker();
    if (worker != nullptr && worker->works_for(i.pool)) {
      const submit_options& how = i.get_settings().call;
      add_ref();
      try {
        if (how.priority == 0) {
          worker->repost(*this);
        } else {
          executor_access::enqueue(*i.where, *this, how);
        }
        return;
      } catch (...) {  // no memory to let others go first, or the executor shuts down
        release();
      }
    }
    while (schedule_->run_one(this)) {
    }
  }

  std::shared_ptr<map_schedule> schedule_;
};

map_schedule::map_schedule(const settings& s) : impl_{std::make_unique<impl>(s)} {}

map_schedule::~map_schedule() {
  if (auto error = impl_->unobserved()) {
    const std::string& name = impl_->get_settings().call.name;
    report_unhandled("call", name.empty() ? impl_->get_settings().who : name, std::move(error));
  }
}

void map_schedule::prepare(executor& where) {
  impl_->where = &where;
  impl_->pool = executor_access::identity(where);
  impl_->follow_token();
}

void map_schedule::call_in(const std::shared_ptr<map_schedule>& self, executor& where) {
  const settings& s = self->impl_->get_settings();
  call_chain runners;
  const unsigned workers = s.caller_runs ? std::max(s.workers, 2U) - 1 : s.workers;
  const std::size_t count = std::min<std::size_t>(workers, s.elements);
  for (std::size_t n = 0; n < count; ++n) runners.push(*new runner{self});
  runners.submit(where, s.call);
}

void map_schedule::call_in_or_run_alone(const std::shared_ptr<map_schedule>& self,
                                        executor& where) {
  try {
    call_in(self, where);
  } catch (const queue_full&) {
    if (!impl_->get_settings().caller_runs) throw;
  }
}

void map_schedule::start(const std::shared_ptr<map_schedule>& self, executor& where) {
  self->prepare(where);
  call_in(self, where);
}

void map_schedule::run_all(const std::shared_ptr<map_schedule>& self, executor& where) {
  struct ending {
    map_schedule& of;
    ~ending() {
      of.abandon();
      of.await_taken();
    }
  };
  impl& i = *self->impl_;
  const ending all{*self};
  self->prepare(where);
  if (i.get_settings().caller_runs) {
    while (i.is_short() && !i.is_over()) self->run_one(nullptr);
  }
  try {
    if (!i.is_all_taken()) self->call_in_or_run_alone(self, where);
    for (chunk c = self->next(); c.first != c.last;) c = self->next();
  } catch (...) {
    i.failed();
    throw;
  }
}

bool map_schedule::run_one(state_base* by) noexcept {
  chunk c{};
  try {
    if (!impl_->take(c, by)) return false;
  } catch (...) {
    drop(std::current_exception());
    return false;
  }
  std::optional<token_scope> scope;
  const std::stop_token token = impl_->stop_token();
  if (token.stop_possible()) scope.emplace(&token);
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
      if (helps && !impl_->is_over() && run_one(nullptr)) continue;
      if (!impl_->wait()) throw_map_timeout(impl_->get_settings().who, impl_->unread());
    }
    return c;
  } catch (...) {
    impl_->stop();
    throw;
  }
}

void map_schedule::abandon() noexcept { impl_->stop(); }
void map_schedule::await_taken() noexcept {
  try {
    impl_->drain();
  } catch (...) {
    std::terminate();  // here, where it says what was thrown
  }
}

void map_schedule::drop(std::exception_ptr reason) noexcept { impl_->drop(std::move(reason)); }

}  // namespace cadre::detail
