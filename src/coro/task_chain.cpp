// SPDX-License-Identifier: MIT
#include <cadre/detail/fork_join.hpp>
#include <cadre/detail/task_chain.hpp>
#include <cadre/errors.hpp>
#include <cadre/local_executor.hpp>

#include "coro/forked_chain.hpp"
#include "coro/wait_limit.hpp"
#include "executor/timers.hpp"
#include "future/waiter.hpp"
#include "sync/mutex.hpp"

namespace cadre::detail {

std::exception_ptr or_cancelled(std::exception_ptr reason) {
  if (reason != nullptr) return reason;
  try {
    throw cancelled_error{
        "task: it was to go on, but its executor was shut down with cancel_pending or at its "
        "deadline; let tasks end before their executor"};
  } catch (...) {
    return std::current_exception();
  }
}

/// What is left of a chain that left its worker: the entry in the executor's queue, and the
/// listener that puts it there. Lives as long as the chain; one wait at a time uses it.
class task_chain::rest final : public state_base, public listener {
 public:
  explicit rest(task_chain& chain)
      : state_base{posted},
        listener{[](listener& self, state_base&) noexcept { static_cast<rest&>(self).arrive(); }},
        chain_{chain},
        entry_{&chain.self_} {
    if (!chain.forked_) chain.host_->enter(entry_);  // else who awaits it is asked to stop
  }

  bool run(run_context& context) noexcept override { return chain_.drive(context); }
  bool is_rest() const noexcept override { return true; }
  std::string_view name() const noexcept override { return chain_.chain_name(); }

  /// It will not be run: the frames are destroyed where they are.
  void fail(std::exception_ptr reason) noexcept override {
    const ref keep{&chain_.self_};
    reason = or_cancelled(std::move(reason));
    end_wait();  // a stop request may be using what the frames hold
    forks* const open = get_forks();
    if (open == nullptr || open->innermost == nullptr) return chain_.self_.fail(std::move(reason));
    open->failure = std::move(reason);
    request_tokens();
    open->stop_children();
    chain_.fail_when_joined();
  }

  void prepare(wait what) noexcept {
    // The chain keeps its state from now until its end.
    if (!owner_) owner_ = ref{&chain_.self_};
    chain_.pending_ = what;
  }

  /// Begins to listen: as add_listener().
  bool listen() noexcept {
    runs_user_code = chain_.where_->resumes_inline();
    // relaxed: add_listener() and begin_wait() release it to who will notify.
    parts_.store(2, std::memory_order_relaxed);
    return state_ != nullptr ? state_->add_listener(*this) : set_->begin_wait(*this);
  }
  /// Once listening: true if the wait is over, and the caller has the chain back.
  bool begin_stop_wait() noexcept {
    if (!chain_.open_wait(word()) && interrupt()) arrive();
    if (limit_ != nullptr && limit_->open()) arrive();
    return last_part();
  }
  void end_wait() noexcept {
    chain_.close_wait(word());
    if (limit_ == nullptr) return;
    if (std::exchange(limit_, nullptr)->close()) timers::instance().note_dead();
  }

  /// The next wait, which is for a set, ends at `deadline`.
  void limit_time(completion_set& set, time_point deadline);

  /// A stop request ends the wait; false if it is over. Then arrive(), when nothing is in use.
  bool interrupt() noexcept {
    if (state_ == nullptr) {
      if (!set_->end_wait()) return false;
    } else {
      if (!state_->remove_listener(*this)) return false;
      if (!state_->cancel()) state_->request_stop();
    }
    chain_.stopped_ = true;
    return true;
  }
  void arrive() noexcept {
    if (last_part()) chain_.go_on();
  }

  /// Made by the first all() of the chain.
  forks& make_forks() {
    if (get_forks() == nullptr) {
      // seq_cst: pairs with request_chain_stop(). Either that sees them, or each child sees `asked`.
      forks_.store(new forks, std::memory_order_seq_cst);
    }
    return *get_forks();
  }
  /// Of the chain, and of its children.
  forks* get_forks() const noexcept {
    // relaxed: it was made before those began.
    return forks_.load(std::memory_order_relaxed);
  }
  void stop_children() noexcept {
    // seq_cst: pairs with make_forks().
    if (forks* all = forks_.load(std::memory_order_seq_cst)) all->stop_children();
  }

  /// By the chain, or one of its children.
  std::stop_token get_token() {
    forks* const children = get_forks();
    const auto held = children != nullptr ? children->hold() : std::unique_lock<sync::mutex>{};
    // relaxed: it is written by the chain, or with its children's lock held.
    if (!has_tokens_.load(std::memory_order_relaxed)) {
      source_.emplace();
      // seq_cst: pairs with request_tokens(). Either that sees it, or the caller sees `asked`.
      has_tokens_.store(true, std::memory_order_seq_cst);
    }
    return source_->get_token();
  }
  void request_tokens() noexcept {
    // seq_cst: pairs with get_token().
    if (!has_tokens_.load(std::memory_order_seq_cst)) return;
    std::stop_source source = *source_;
    source.request_stop();
  }

 private:
  class expiry;

  ~rest() override { delete get_forks(); }

  std::uintptr_t word() const noexcept {
    return reinterpret_cast<std::uintptr_t>(this) | listening;
  }

  /// A wait is over when it is set up, and what it waits for has come: then the last one goes on.
  bool last_part() noexcept {
    // acq_rel: pairs with the other part's, so that the last one sees what both did.
    return parts_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }

  // First what who notifies needs, on the listener's line.
  sync::atomic<int> parts_{0};
  sync::atomic<bool> has_tokens_{false};
  task_chain& chain_;

 public:
  state_base* state_ = nullptr;  // what the wait is for
  completion_set* set_ = nullptr;
  ref<state_base> owner_;
  call_registry::entry entry_;

 private:
  std::shared_ptr<wait_limit> limit_;       // of this wait; null: none
  std::optional<std::stop_source> source_;  // made when somebody asks for its token
  sync::atomic<forks*> forks_{nullptr};
};

/// The timer of a limit.
class task_chain::rest::expiry final : public timer {
 public:
  expiry(rest& waiter, std::shared_ptr<wait_limit> limit) noexcept
      : timer{nullptr}, waiter_{waiter}, limit_{std::move(limit)} {}

  void fire() noexcept override {
    // Who ended the wait has the waiter until this.
    if (limit_->expire()) waiter_.arrive();
  }
  void fail(const std::exception_ptr&) noexcept override {}
  bool is_dead() noexcept override { return limit_->closed(); }

 private:
  rest& waiter_;  // may be gone once the wait is over
  const std::shared_ptr<wait_limit> limit_;
};

void task_chain::rest::limit_time(completion_set& set, time_point deadline) {
  auto limit = std::make_shared<wait_limit>(set);
  timers::instance().add(std::make_unique<expiry>(*this, limit), deadline);
  limit_ = std::move(limit);
}

task_chain::~task_chain() {
  if (rest* r = get_rest(); r != nullptr) r->release();
}

void task_chain::on_stop::operator()() const noexcept {
  if (!self->try_add_ref()) return;  // its destructor has begun, and waits for this function
  if (!self->cancel()) self->request_stop();
  self->release();
}

bool task_chain::start(local_executor& where, submit_options& options, chain_link& first) {
  first.chain = this;
  next_ = first.handle;
  priority_ = options.priority;
  const std::stop_token stop = options.stop_token;
  if (stop.stop_possible() || !options.name.empty()) {
    extras_ = std::make_unique<extras>(std::move(options.name), stop, std::nullopt);
  }
  if (stop.stop_requested()) {  // too late: it is never queued
    self_.cancel();
    return false;
  }
  try {
    task_host& host = task_host_access::host_of(where);
    host.hold();
    host_ = where_ = first.where = &host;
    executor_access::enqueue(where, self_, options);
  } catch (...) {
    if (self_.try_start()) self_.fail(std::current_exception());
    return false;
  }
  if (stop.stop_possible()) extras_->callback.emplace(stop, on_stop{&self_});
  return true;
}

void task_chain::start_for(const task_chain& parent, chain_link& first, task_host& where) noexcept {
  forked_ = true;
  host_ = parent.host_;
  priority_ = parent.priority_;
  where_ = first.where = &where;
  first.chain = this;
  first.parent = nullptr;
  next_ = first.handle;
}

bool task_chain::drive(run_context& context) noexcept {
  fork_entry* const kept_before = fork_join::kept_here();
  bool good = true;
  for (;;) {
    std::exchange(next_, nullptr).resume();
    if (pending_ != wait::none) {
      if (!suspend()) continue;
      context.census = nullptr;  // not to be announced as idle: nothing was published
      context.about_to_publish(true);
      break;
    }
    if (next_ != nullptr) continue;
    good = complete(context);
    break;
  }
  // The chain may be gone.
  if (fork_join::kept_here() != kept_before) fork_join::hand_out_kept(kept_before);
  return good;
}

/// False if there is nothing to wait for any more. If true, the chain may be gone.
bool task_chain::suspend() noexcept {
  const wait what = std::exchange(pending_, wait::none);
  if (what == wait::move) {
    go_on();
    return true;
  }
  rest& r = *get_rest();
  if (what != wait::join) return r.listen() && !r.begin_stop_wait();
  fork_join& join = *r.get_forks()->innermost;
  const bool moves = std::exchange(where_, join.parent_.where) != join.parent_.where;
  if (!join.leave_as_parent()) return true;  // the last of the tasks lets it go on, or has done so
  close(join);
  if (moves) go_on();
  return moves;
}

/// Queues the rest. On an exception the executor runs nothing any more: this is the end.
void task_chain::go_on() noexcept {
  ref<state_base> queued{get_rest()};
  try {
    where_->resume_task(*queued, priority_);
    queued.detach();
  } catch (...) {
    queued->fail(std::current_exception());
  }
}

task_chain::rest& task_chain::make_rest() {
  static_assert(sizeof(rest) <= 192, "as coro.hpp says");
  static_assert(sizeof(forks) <= 64, "as all.hpp says");
  rest* r = get_rest();
  if (r == nullptr) {
    r = new rest{*this};
    // seq_cst: pairs with request_chain_stop(), as has_tokens_.
    rest_.store(r, std::memory_order_seq_cst);
  }
  return *r;
}

void task_chain::wait_for(chain_link& link, state_base& awaited) {
  rest& r = make_rest();
  r.state_ = &awaited;
  r.prepare(wait::state);
  next_ = link.handle;
}

void task_chain::wait_for(chain_link& link, completion_set& awaited, time_point deadline) {
  rest& r = make_rest();
  if (deadline != never) r.limit_time(awaited, deadline);
  r.state_ = nullptr;
  r.set_ = &awaited;
  r.prepare(wait::set);
  next_ = link.handle;
}

void task_chain::move_to(chain_link& link, task_host& target) {
  rest& r = make_rest();
  const bool holds = &target != host_;
  if (holds) target.hold();
  if (std::exchange(link.moved, holds)) link.where->release();
  link.where = where_ = &target;
  r.prepare(wait::move);
  next_ = link.handle;
}

void task_chain::move_back(chain_link& link) noexcept {
  where_ = link.where;
  // There is one: whoever left this place made it.
  get_rest()->prepare(wait::move);
}

// --- several tasks at once ---

void task_chain::open(fork_join& join) {
  join.outer_ = std::exchange(make_rest().make_forks().innermost, &join);
}

void task_chain::close(fork_join& join) noexcept {
  get_rest()->get_forks()->innermost = join.outer_;
}

void task_chain::child_is_over(fork_join& join) noexcept { join.child_over(); }

void task_chain::wait_for(fork_join& join) noexcept {
  get_rest()->prepare(wait::join);
  next_ = join.parent_.handle;
}

void task_chain::end_join(fork_join& join) noexcept {
  close(join);
  get_rest()->get_forks()->failure == nullptr ? go_on() : fail_when_joined();
}

/// The frames of a chain that is not run any more are destroyed when nobody runs a task that one of them
/// awaits.
void task_chain::fail_when_joined() noexcept {
  const ref keep{&self_};
  forks& all = *get_rest()->get_forks();
  while (fork_join* const join = all.innermost) {
    if (!join->leave_as_parent()) return;  // the last one comes back here
    close(*join);
  }
  self_.fail(std::exchange(all.failure, nullptr));
}

void task_chain::enter(forked_chain& child) noexcept {
  get_rest()->get_forks()->enter(child);
  // seq_cst: pairs with request_chain_stop(), which looks for the child after it has set `asked`.
  if ((stop_.load(std::memory_order_seq_cst) & asked) != 0) child.request_stop();
}

void task_chain::leave(forked_chain& child) noexcept { get_rest()->get_forks()->leave(child); }

// --- stop ---

/// False if a stop was requested before: nobody will end this wait.
bool task_chain::open_wait(std::uintptr_t awaited) noexcept {
  std::uintptr_t none = 0;
  // release: pairs with the acquire in request_chain_stop(), which uses `awaited`. relaxed on
  // failure: nothing is read.
  return stop_.compare_exchange_strong(none, awaited, std::memory_order_release,
                                       std::memory_order_relaxed);
}

/// When this is back, nobody else uses `awaited`. Also if it was not opened.
void task_chain::close_wait(std::uintptr_t awaited) noexcept {
  std::uintptr_t seen = awaited;
  // acquire, both: pairs with the release in request_chain_stop(), for stopped_ and what became of
  // `awaited`.
  if (stop_.compare_exchange_strong(seen, 0, std::memory_order_acquire,
                                    std::memory_order_acquire)) {
    return;
  }
  for (int turn = 0; (seen & busy) != 0; ++turn) {
    turn < 64 ? sync::pause() : sync::yield();
    seen = stop_.load(std::memory_order_acquire);  // acquire: as above, pairs with the release
  }
}

void task_chain::throw_if_stopped() {
  if (!std::exchange(stopped_, false)) return;
  throw cancelled_error{
      "task: a stop was requested while it awaited a result; what it awaited was asked to stop "
      "as well: let this exception end the task, or catch it to clean up"};
}

void task_chain::end_wait() {
  get_rest()->end_wait();
  throw_if_stopped();
}

bool task_chain::run_here(state_base& awaited) {
  waiting_worker* const worker = this_thread_worker();
  const auto word = reinterpret_cast<std::uintptr_t>(&awaited);
  if (worker == nullptr || !open_wait(word)) return false;
  try {
    claim_all(*worker, awaited);
  } catch (const deadlock_error&) {  // nested too deep: then it is to be waited for
  } catch (...) {
    close_wait(word);
    throw;
  }
  if (!awaited.done()) worker->await_briefly(awaited);
  close_wait(word);
  throw_if_stopped();
  return awaited.done();
}

std::stop_token task_chain::get_stop_token() {
  if (task_chain* const outer = awaited_by()) return outer->get_stop_token();
  std::stop_token token = make_rest().get_token();
  // seq_cst: pairs with request_chain_stop(), see there.
  if ((stop_.load(std::memory_order_seq_cst) & asked) != 0) get_rest()->request_tokens();
  return token;
}

bool task_chain::request_chain_stop() noexcept {
  // relaxed: the compare-exchange orders.
  std::uintptr_t seen = stop_.load(std::memory_order_relaxed);
  do {
    if ((seen & asked) != 0) return false;
    // seq_cst: pairs with open_wait(), and with get_stop_token(): that sees `asked`, or else the
    // rest and its tokens are seen below. relaxed on failure: the loop looks again.
  } while (!stop_.compare_exchange_weak(seen, seen == 0 ? asked : asked | busy,
                                        std::memory_order_seq_cst, std::memory_order_relaxed));
  rest* interrupted = nullptr;
  if ((seen & listening) != 0) {
    auto* const r = reinterpret_cast<rest*>(seen - listening);
    if (r->interrupt()) interrupted = r;
  } else if (seen != 0) {
    auto& awaited = *reinterpret_cast<state_base*>(seen);
    if (!awaited.done()) {
      stopped_ = true;
      if (!awaited.cancel()) awaited.request_stop();
    }
  }
  // release: pairs with the acquire in close_wait().
  if (seen != 0) stop_.store(asked, std::memory_order_release);
  // seq_cst: pairs with make_rest(), as the compare-exchange above.
  if (rest* r = rest_.load(std::memory_order_seq_cst); r != nullptr) {
    r->request_tokens();
    r->stop_children();
  }
  // Last: the task may go on here, within this.
  if (interrupted != nullptr) interrupted->arrive();
  return true;
}

ref<state_base> task_chain::retire() noexcept {
  ref<state_base> owner;
  if (rest* r = get_rest(); r != nullptr) {
    if (!forked_) host_->leave(r->entry_);
    owner = std::move(r->owner_);
  }
  if (host_ != nullptr && !forked_) std::exchange(host_, nullptr)->release();
  return owner;
}

}  // namespace cadre::detail
