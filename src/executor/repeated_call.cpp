// SPDX-License-Identifier: MIT
#include <cadre/detail/timed_call.hpp>

#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/timer.hpp>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "executor/timers.hpp"
#include "future/waiter.hpp"
#include "sync/mutex.hpp"

namespace cadre::detail {

repeated_work::~repeated_work() = default;

struct repeated_call::inside {
  sync::mutex mutex;
  std::shared_ptr<repeated_work> work;  // guarded by mutex; null once the series has ended
  ref<state_base> current;              // guarded by mutex; the run, while there is one
  std::thread::id submits;              // guarded by mutex; who submits a run; none: nobody
  std::vector<promise<void>> to_tell;   // guarded by mutex; of the end of that
  time_point due{};                     // whoever starts or ends the run, one after the other
  std::uint64_t ended_runs = 0;         // as above
};

/// The time of the next run.
class repeated_call::due_run final : public timer {
 public:
  explicit due_run(repeated_call& series) : timer{&series.where_}, series_{&series} {}

  void fire() noexcept override { series_->fire(); }
  void fail(const std::exception_ptr&) noexcept override {}  // the list of series has it, too
  bool is_dead() noexcept override { return !series_->is_pending(); }

 private:
  const ref<repeated_call> series_;
};

repeated_call::repeated_call(executor& where, const rhythm& how_often,
                             std::shared_ptr<repeated_work> work)
    : state<void>{2},  // one reference for the future, one for the timers
      where_{where},
      when_{how_often},
      inside_{std::make_unique<inside>()} {
  if (how_often.period <= how_often.period.zero()) {
    throw std::invalid_argument{"submit_every: the period must be greater than 0, got " +
                                std::to_string(how_often.period.count()) + " ns"};
  }
  if (how_often.runs == 0U) {
    throw std::invalid_argument{"submit_every: runs must be greater than 0, got 0"};
  }
  inside_->work = std::move(work);
}

repeated_call::~repeated_call() { timers::instance().strike(*this); }

void repeated_call::start(time_point due) {
  const ref mine{this, ref<repeated_call>::adopt{}};  // the timer has its own
  timers& all = timers::instance();
  set_owner(&all, fork_generation());
  inside_->due = due;
  all.enlist(*this);
  all.add_again(*this, std::make_unique<due_run>(*this), due);
}

void repeated_call::fire() noexcept {
  std::shared_ptr<repeated_work> work;
  {
    const std::lock_guard held{inside_->mutex};
    work = inside_->work;
    if (work != nullptr) inside_->submits = std::this_thread::get_id();
  }
  if (work == nullptr) return;
  try {
    work->submit_run(*this);
  } catch (...) {
    end_with(std::current_exception());
  }
  work.reset();  // whoever is told may destroy what it refers to
  std::vector<promise<void>> to_tell;
  {
    const std::lock_guard held{inside_->mutex};
    inside_->submits = {};
    to_tell = std::move(inside_->to_tell);
    inside_->to_tell.clear();
  }
  for (auto& each : to_tell) each.set_value();
}

void repeated_call::run_begins(state_base& run) noexcept {
  {
    const std::lock_guard held{inside_->mutex};
    inside_->current = ref{&run};
    if (inside_->work != nullptr) return;
  }
  if (!run.cancel()) run.request_stop();  // the series has ended meanwhile
}

void repeated_call::await_run() {
  for (;;) {
    ref<state_base> run;
    future<void> submitted;
    {
      const std::lock_guard held{inside_->mutex};
      run = inside_->current;
      if (!run && inside_->submits == std::thread::id{}) return;
      if (!run && inside_->submits == std::this_thread::get_id()) {
        throw deadlock_error{
            "cancel_and_wait: a run of the series waits for its own end; cancel() it there"};
      }
      if (!run) submitted = inside_->to_tell.emplace_back().get_future();
    }
    if (run) {
      run->wait_until(never);
      return;  // there is no other one
    }
    submitted.wait();
  }
}

void repeated_call::run_ends(bool was_cancelled, std::exception_ptr thrown,
                             bool was_last) noexcept {
  {
    const std::lock_guard held{inside_->mutex};
    // Whoever calls has a reference to the run: nothing is destroyed here.
    inside_->current = {};
  }
  if (was_cancelled) {
    cancel();
  } else if (thrown != nullptr) {
    end_with(std::move(thrown));
  } else if (++inside_->ended_runs == when_.runs || was_last) {
    end_well();
  } else {
    schedule();
  }
}

void repeated_call::schedule() noexcept {
  const time_point now = std::chrono::steady_clock::now();
  time_point& due = inside_->due;
  if (when_.period > never - std::max(now, due)) {
    due = never;
  } else if (when_.fixed_delay) {
    due = now + when_.period;
  } else {
    // Runs whose time has passed are left out; those to come keep to the grid.
    const auto missed = now > due ? (now - due) / when_.period : 0;
    due += (missed + 1) * when_.period;
  }
  try {
    timers::instance().add_again(*this, std::make_unique<due_run>(*this), due);
  } catch (...) {
    end_with(std::current_exception());
  }
}

void repeated_call::end_with(std::exception_ptr reason) noexcept {
  if (try_start()) fail(std::move(reason));
}

void repeated_call::end_well() noexcept {
  if (!try_start()) return;
  discard();
  finish_handed_on(fill([] {}));
}

void repeated_call::discard() noexcept {
  timers::instance().strike(*this);
  std::shared_ptr<repeated_work> work;
  ref<state_base> run;
  {
    const std::lock_guard held{inside_->mutex};
    work = std::move(inside_->work);
    run = inside_->current;
  }
  if (run && !run->cancel()) run->request_stop();
}

}  // namespace cadre::detail

namespace cadre {

void cancel_and_wait(const future<void>& call) {
  detail::state_base& state = detail::access::state_of(call);
  call.request_stop();
  if (auto* const repeated = dynamic_cast<detail::repeated_call*>(&state)) {
    repeated->await_run();
  }
  call.wait();  // another thread may be about to end it
}

}  // namespace cadre
