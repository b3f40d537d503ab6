// SPDX-License-Identifier: MIT
#include <cadre/detail/fork_join.hpp>

#include <utility>

#include "coro/forked_chain.hpp"

namespace cadre::detail {
namespace {

// Linked by queue_next. They belong to chains that are on this thread.
constinit thread_local fork_entry* newest_kept = nullptr;

}  // namespace

bool fork_entry::run(run_context& context) noexcept {
  context.census = nullptr;  // who awaits it may go on in this worker's queue
  try {
    using ref = detail::ref<forked_chain>;
    const ref made{new forked_chain{*this}, ref::adopt{}};
    // relaxed: this entry counts as well, so nobody comes to the end.
    join_->open_.fetch_add(1, std::memory_order_relaxed);
    return made->begin(context);
  } catch (...) {
    context.about_to_publish(false);
    fail(std::current_exception());
    return false;
  }
}

void fork_entry::fail(std::exception_ptr reason) noexcept {
  fail_task_(*task_, or_cancelled(std::move(reason)));
}

std::string_view fork_entry::name() const noexcept { return join_->parent_.chain->chain_name(); }

void fork_entry::operator delete(fork_entry* self, std::destroying_delete_t) noexcept {
  self->join_->arrive();
}

void fork_join::begin(chain_link& first, std::span<fork_entry> others) {
  task_chain& chain = *parent_.chain;
  chain.open(*this);
  others_ = others;
  // relaxed: the queue orders what others do with it.
  open_.store(static_cast<std::uint32_t>(1 + others.size()), std::memory_order_relaxed);
  const bool shares = parent_.where->has_thieves();
  try {
    while (handed_out_ != others.size()) {
      fork_entry& next = others[others.size() - 1 - handed_out_];
      next.join_ = this;
      if (shares) {
        chain.fork(parent_, next);
      } else {
        next.queue_next = std::exchange(newest_kept, &next);
      }
      ++handed_out_;
    }
  } catch (...) {
    // The executor has no memory, or takes no more: the others are run here.
  }
  taken_back_ = static_cast<std::uint32_t>(others.size() - handed_out_);
  run(first);
}

fork_entry* fork_join::kept_here() noexcept { return newest_kept; }

void fork_join::hand_out_kept(fork_entry* mark) noexcept {
  while (newest_kept != mark) {
    fork_entry& next = *newest_kept;
    newest_kept = static_cast<fork_entry*>(next.queue_next);
    try {
      const chain_link& parent = next.join_->parent_;
      parent.chain->fork(parent, next);
    } catch (...) {
      next.fail(std::current_exception());
      next.release();
    }
  }
}

bool fork_join::take_back(fork_entry& entry) noexcept {
  if (newest_kept != &entry) return parent_.where->take_back(entry);
  newest_kept = static_cast<fork_entry*>(entry.queue_next);
  return true;
}

void fork_join::run(chain_link& task) noexcept {
  task.chain = parent_.chain;
  task.where = parent_.where;
  task.forked = true;
  task.join = this;
  parent_.chain->run_next(task);
}

void fork_join::child_over() noexcept {
  if (next_ < others_.size() - handed_out_) return run(*others_[next_++].task_);
  if (next_ != others_.size() && take_back(others_[next_])) {
    ++taken_back_;
    return run(*others_[next_++].task_);
  }
  next_ = others_.size();  // the others were taken before that one, or lie below another call
  task_chain& chain = *parent_.chain;
  if (taken_back_ != others_.size()) return chain.wait_for(*this);
  chain.close(*this);
  chain.run_next(parent_);
}

}  // namespace cadre::detail
