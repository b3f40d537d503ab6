// SPDX-License-Identifier: MIT
#include "explorer.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "heap.hpp"
#include "path.hpp"
#include "scheduler.hpp"
#include "system.hpp"

namespace cadre_model {
namespace {

std::optional<std::string> search(scheduler& runs, const options& how,
                                  const std::function<void()>& body, int preemptions, path& choices,
                                  std::uint64_t& schedules) {
  choices.clear();
  schedules = 0;
  do {
    if (schedules == how.max_schedules) {
      return "gave up after " + std::to_string(how.max_schedules) +
             " schedules: make the test smaller, or raise options::max_schedules";
    }
    ++schedules;
    if (auto failure = runs.run(body, choices, preemptions)) {
      return *failure + "in schedule " + std::to_string(schedules) + '\n';
    }
  } while (choices.next());
  return {};
}

}  // namespace

int default_preemptions() {
  const char* text = std::getenv("CADRE_MODEL_PREEMPTIONS");
  return text != nullptr ? std::atoi(text) : 2;
}

result explore(const options& how, const std::function<void()>& body) {
  if (active != nullptr) throw std::logic_error{"explore: called in a body"};
  scheduler runs{how};
  const system_takeover guard{runs};
  path choices;
  result r;
  for (int preemptions = 0; preemptions <= how.preemptions; ++preemptions) {
    r.failure = search(runs, how, body, preemptions, choices, r.schedules);
    r.killed = runs.has_killed();
    if (r.failure || !choices.was_bounded()) break;
  }
  return r;
}

result explore(const std::function<void()>& body) { return explore(options{}, body); }

void run_threads(std::initializer_list<std::function<void()>> functions) {
  std::vector<model_thread*> threads;
  for (const auto& function : functions) {
    const auto call = [](void* argument) -> void* {
      (*static_cast<const std::function<void()>*>(argument))();
      return nullptr;
    };
    threads.push_back(&active->start(call, const_cast<std::function<void()>*>(&function)));
  }
  active->join(threads);
}

void check(bool condition, const char* property) {
  if (!condition) active->fail(std::string{"check failed: "} + property);
}

int this_thread_id() noexcept { return active != nullptr ? active->running().id : 0; }

void label_range(const void* begin, std::size_t size, const char* name) {
  active->label(begin, size, name);
}

}  // namespace cadre_model
