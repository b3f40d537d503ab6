// SPDX-License-Identifier: MIT
#include <cadre/detail/task_chain.hpp>
#include <cadre/errors.hpp>
#include <cadre/local_executor.hpp>

#include "future/waiter.hpp"

namespace cadre::detail {

/// What is left of a chain that left its worker: the entry in the executor's queue, and the
/// listener that puts it there. Lives as long as the chain; one wait at a time uses it.
class task_chain::rest final : public state_base, public listener {
 public:
  explicit rest(task_chain& chain)
      : state_base{posted},
        listener{[](listener& self, state_base&) noexcept { static_cast<rest&>(self).arrive(); }},
        entry_{&chain.self_},
        chain_{chain} {
    chain.host_->enter(entry_);
  }

  bool run(run_context& context) noexcept override { return chain_.drive(context); }
  bool is_rest() const noexcept override { return true; }
  std::string_view name() const noexcept override { return chain_.chain_name(); }

  /// It will not be run: the frames are destroyed where they are.
  void fail(std::exception_ptr reason) noexcept override {
    const ref keep{&chain_.self_};
    chain_.self_.fail(std::move(reason));
  }

  void prepare(wait what) noexcept {
    // The chain keeps its state from now until its end.
    if (!owner_) owner_ = ref{&chain_.self_};
    chain_.pending_ = what;
    runs_user_code = chain_.where_->resumes_inline();
  }

  /// Begins to listen: as add_listener().
  bool listen() noexcept {
    stopped_ = false;
    // relaxed: add_listener() and begin_wait() release it to who will notify.
    parts_.store(2, std::memory_order_relaxed);
    return state_ != nullptr ? state_->add_listener(*this) : set_->begin_wait(*this);
  }
  /// Once listening: true if the wait is over, and the caller has the chain back.
  bool begin_stop_wait() noexcept {
    callback_.emplace(source_.get_token(), on_stop_request{this});
    if (state_ != nullptr) run_awaited();
    return last_part();
  }

  void forget_stop() noexcept { callback_.reset(); }
  void end() {
    forget_stop();
    if (!std::exchange(stopped_, false)) return;
    throw cancelled_error{
        "task: a stop was requested while it awaited a result; what it awaited was asked to stop "
        "as well: let this exception end the task, or catch it to clean up"};
  }

  state_base* state_ = nullptr;  // what the wait is for
  completion_set* set_ = nullptr;
  std::stop_source source_;
  ref<state_base> owner_;
  call_registry::entry entry_;

 private:
  struct on_stop_request {
    rest* self;
    void operator()() const noexcept { self->stop(); }
  };

  ~rest() override = default;

  /// As a blocking wait does: depth first, tasks that spawn tasks need little memory.
  void run_awaited() noexcept {
    waiting_worker* const worker = this_thread_worker();
    if (worker == nullptr) return;
    try {
      claim_all(*worker, *state_);
    } catch (const deadlock_error&) {  // nested too deep: then it is to be waited for
    }
  }

  void stop() noexcept {
    if (state_ == nullptr) {
      if (!set_->end_wait()) return;
    } else {
      if (!state_->remove_listener(*this)) return;
      // Before the task goes on, which would wait until this callback has returned.
      if (!state_->cancel()) state_->request_stop();
    }
    stopped_ = true;
    arrive();
  }

  /// A wait is over when it is set up, and what it waits for has come: then the last one goes on.
  bool last_part() noexcept {
    // acq_rel: pairs with the other part's, so that the last one sees what both did.
    return parts_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  void arrive() noexcept {
    if (last_part()) chain_.go_on();
  }

  task_chain& chain_;
  sync::atomic<int> parts_{0};
  bool stopped_ = false;
  std::optional<std::stop_callback<on_stop_request>> callback_;
};

task_chain::~task_chain() {
  if (rest_ != nullptr) rest_->release();
}

void task_chain::on_stop::operator()() const noexcept {
  if (!self->try_add_ref()) return;  // its destructor has begun, and waits for this function
  if (!self->cancel()) self->request_stop();
  self->release();
}

bool task_chain::start(local_executor& where, submit_options options, chain_link& first) {
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

bool task_chain::drive(run_context& context) noexcept {
  for (;;) {
    std::exchange(next_, nullptr).resume();
    if (pending_ != wait::none) {
      if (!suspend()) continue;
      context.census = nullptr;  // not to be announced as idle: nothing was published
      context.about_to_publish(true);
      return true;
    }
    if (next_ == nullptr) return complete(context);
  }
}

/// False if there is nothing to wait for any more. If true, the chain may be gone.
bool task_chain::suspend() noexcept {
  const wait what = std::exchange(pending_, wait::none);
  if (what == wait::move) {
    go_on();
    return true;
  }
  return rest_->listen() && !rest_->begin_stop_wait();
}

/// Queues the rest. On an exception the executor runs nothing any more: this is the end.
void task_chain::go_on() noexcept {
  ref<state_base> queued{rest_};
  try {
    where_->resume(*queued, priority_);
    queued.detach();
  } catch (...) {
    queued->fail(std::current_exception());
  }
}

void task_chain::make_rest() {
  rest_ = new rest{*this};
  std::uintptr_t none = 0;
  // release: pairs with the acquire in request_chain_stop(). relaxed on failure: nothing is read.
  if (!stop_.compare_exchange_strong(none, reinterpret_cast<std::uintptr_t>(rest_),
                                     std::memory_order_release, std::memory_order_relaxed)) {
    rest_->source_.request_stop();
  }
}

void task_chain::wait_for(chain_link& link, state_base& awaited) {
  rest& r = get_rest();
  r.state_ = &awaited;
  r.prepare(wait::state);
  next_ = link.handle;
}

void task_chain::wait_for(chain_link& link, completion_set& awaited) {
  rest& r = get_rest();
  r.state_ = nullptr;
  r.set_ = &awaited;
  r.prepare(wait::set);
  next_ = link.handle;
}

void task_chain::move_to(chain_link& link, task_host& target) {
  rest& r = get_rest();
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
  rest_->prepare(wait::move);
}

void task_chain::end_wait() { rest_->end(); }

std::stop_token task_chain::get_stop_token() { return get_rest().source_.get_token(); }

bool task_chain::request_chain_stop() noexcept {
  std::uintptr_t seen = 0;
  // acquire, on failure: pairs with the release in make_rest(). On success there is nothing to read.
  if (stop_.compare_exchange_strong(seen, 1, std::memory_order_acquire,
                                    std::memory_order_acquire)) {
    return true;
  }
  if (seen == 1) return false;
  std::stop_source source = reinterpret_cast<rest*>(seen)->source_;
  return source.request_stop();
}

ref<state_base> task_chain::retire() noexcept {
  ref<state_base> owner;
  if (rest_ != nullptr) {
    rest_->forget_stop();
    host_->leave(rest_->entry_);
    owner = std::move(rest_->owner_);
  }
  if (host_ != nullptr) std::exchange(host_, nullptr)->release();
  return owner;
}

}  // namespace cadre::detail
