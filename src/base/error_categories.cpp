// SPDX-License-Identifier: MIT
// The categories of error codes that cross: by a number, or by their name.
#include <cadre/codec.hpp>

#include <algorithm>
#include <future>
#include <ios>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/what_of.hpp"

namespace cadre::detail {
namespace {

using category_pointer = const std::error_category*;

const category_pointer standard[] = {&std::generic_category(), &std::system_category(),
                                     &std::iostream_category(), &std::future_category()};
constexpr unsigned char by_name = 255;

struct registry {
  std::mutex mutex;
  std::vector<category_pointer> categories;  // guarded by mutex
};

registry& registered() {
  static auto* const all = new registry;  // never destroyed: calls may end after main()
  return *all;
}

category_pointer find(std::string_view name) {
  registry& all = registered();
  const std::lock_guard lock{all.mutex};
  const auto found = std::find_if(all.categories.begin(), all.categories.end(),
                                  [&](category_pointer c) { return name == text_of(c->name()); });
  return found == all.categories.end() ? nullptr : *found;
}

category_pointer const* find_standard(const std::error_category& category) {
  return std::find_if(std::begin(standard), std::end(standard),
                      [&](category_pointer c) { return *c == category; });
}

}  // namespace

bool add_category(const std::error_category& category) {
  const std::string name = text_of(category.name());
  registry& all = registered();
  const std::lock_guard lock{all.mutex};
  std::erase_if(all.categories, [&](category_pointer old) { return text_of(old->name()) == name; });
  all.categories.push_back(&category);
  return true;
}

bool knows_category(const std::error_category& category) {
  return find_standard(category) != std::end(standard) ||
         find(text_of(category.name())) == &category;
}

void put_category(encoder& out, const std::error_category& category) {
  if (const auto at = find_standard(category); at != std::end(standard)) {
    return out.write(static_cast<unsigned char>(at - std::begin(standard)));
  }
  const std::string name = text_of(category.name());
  if (find(name) != &category) {
    out.fail("the error category \"" + name + "\" is not registered",
             "call cadre::register_error_category() with it, at namespace scope");
  }
  out.write(by_name);
  put(out, name);
}

const std::error_category* find_category(decoder& in) {
  const auto number = in.read<unsigned char>();
  if (number < std::size(standard)) return standard[number];
  if (number != by_name) in.fail("there is no error category of this number");
  return find(take<std::string>(in));
}

const std::error_category& take_category(decoder& in) {
  const category_pointer category = find_category(in);
  if (category == nullptr) in.fail("no error category of this name is registered in this process");
  return *category;
}

}  // namespace cadre::detail
