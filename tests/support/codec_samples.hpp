// SPDX-License-Identifier: MIT
// A value of each kind that the codec takes, for the tests of round trips, of damage, and the
// fuzzer.
#pragma once

#include <cadre/codec.hpp>

#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <stack>
#include <string>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <valarray>
#include <variant>
#include <vector>

namespace cadre::test {

template <typename T>
std::vector<std::byte> encoded(const T& value) {
  encoder out;
  encode(out, value);
  return {out.bytes().begin(), out.bytes().end()};
}

template <typename T>
T decoded(std::span<const std::byte> bytes) {
  decoder in{bytes};
  T value = decode<T>(in);
  in.finish();
  return value;
}

template <typename T>
T copied(const T& value) {
  return decoded<T>(encoded(value));
}

enum class color : std::uint8_t { red, green };
enum class flag : bool { off, on };
enum plain_enum : int { first, second };

struct point {
  double x;
  float y;
  std::int32_t z;
  bool operator==(const point&) const = default;
};

struct padded {
  char letter;
  double number;
  bool operator==(const padded&) const = default;
};

struct with_bool {
  bool yes;
  flag on;
  bool operator==(const with_bool&) const = default;
};

struct member_kinds {
  const int constant;
  std::string text;
  std::optional<double> maybe;
  std::variant<std::monostate, int, std::string> either;
  std::array<point, 2> points;
  std::map<std::string, std::vector<int>> table;
  color shade;
  bool operator==(const member_kinds&) const = default;
};

struct tree {
  int value = 0;
  std::vector<tree> children = {};
  bool operator==(const tree&) const = default;
};

struct chain {
  int value = 0;
  std::unique_ptr<chain> next = {};
  bool operator==(const chain& other) const {
    return value == other.value && (next ? other.next && *next == *other.next : !other.next);
  }
};

/// Too large for a stack, where it nests.
struct wide {
  std::array<char, 4200> text = {};
  std::vector<wide> children = {};
  bool operator==(const wide&) const = default;
};

struct nothing {
  bool operator==(const nothing&) const = default;
};

class serialized {
 public:
  serialized() = default;
  serialized(int number, std::string text) : number_{number}, text_{std::move(text)} {}
  bool operator==(const serialized&) const = default;

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number_, text_) & table_;
  }

 private:
  int number_ = 0;
  std::string text_;
  int table_[3] = {1, 2, 3};
};

class saved {
 public:
  saved() = default;
  explicit saved(std::vector<int> numbers) : numbers_{std::move(numbers)} {}
  bool operator==(const saved&) const = default;

  template <typename Archive>
  void save(Archive& archive) const {
    archive << numbers_;
  }
  template <typename Archive>
  void load(Archive& archive) {
    archive >> numbers_;
  }

 private:
  std::vector<int> numbers_;
};

/// Not an aggregate, and has no default constructor: by a specialisation.
class special {
 public:
  explicit special(int number) : number_{number} {}
  int number() const { return number_; }
  bool operator==(const special&) const = default;

 private:
  int number_;
};

}  // namespace cadre::test

template <>
struct cadre::codec<cadre::test::special> {
  static void encode(encoder& out, const test::special& value) { out.write(value.number()); }
  static test::special decode(decoder& in) { return test::special{in.read<int>()}; }
};

namespace cadre::test {

/// Calls visit(value) for each.
template <typename Visitor>
void visit_numbers(Visitor&& visit) {
  visit(true);
  visit('x');
  visit(L'x');
  visit(u8'x');
  visit(-1);
  visit(std::numeric_limits<std::int64_t>::min());
  visit(std::numeric_limits<std::uint64_t>::max());
  visit(1.5F);
  visit(-0.1);
  visit(1.25L);
  visit(color::green);
  visit(flag::on);
  visit(second);
  visit(std::byte{7});
  visit(std::complex<double>{1, -1});
  visit(std::complex<long double>{1, -1});
  visit(std::bitset<11>{0x555});
  visit(std::chrono::milliseconds{17});
  visit(std::chrono::duration<double, std::ratio<60>>{1.5});
  visit(std::chrono::system_clock::time_point{std::chrono::seconds{1'000'000}});
}

template <typename Visitor>
void visit_groups(Visitor&& visit) {
  visit(std::string{"a\0b", 3});
  visit(std::wstring{L"wide"});
  visit(std::u8string{u8"eight"});
  visit(std::u16string{u"sixteen"});
  visit(std::filesystem::path{"/usr/include"});
  visit(std::vector<int>{});
  visit(std::vector<double>{1, 2, 3});
  visit(std::vector<bool>{true, false, true});
  visit(std::vector<std::string>{"a", "", "ccc"});
  visit(std::vector<nothing>(3));
  visit(std::vector<std::tuple<>>(3));
  visit(std::vector<std::vector<point>>{{{1, 2, 3}}, {}});
  visit(std::deque<int>{1, 2});
  visit(std::list<std::string>{"a", "b"});
  visit(std::set<std::string>{"a", "b"});
  visit(std::multiset<int>{1, 1, 2});
  visit(std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}});
  visit(std::multimap<int, std::string>{{1, "first"}, {1, "second"}});
  visit(std::unordered_set<int>{1, 2});
  visit(std::unordered_multiset<int>{1, 1});
  visit(std::unordered_map<std::string, int>{{"a", 1}, {"b", 2}});
  visit(std::unordered_multimap<int, bool>{{1, true}, {1, true}});
  visit(std::array<int, 3>{1, 2, 3});
  visit(std::array<std::string, 2>{"a", "b"});
  visit(std::array<special, 2>{special{1}, special{2}});
  visit(std::array<bool, 0>{});
  visit(std::optional<std::string>{"a"});
  visit(std::optional<int>{});
  visit(std::variant<std::monostate, int, std::string>{"text"});
  visit(std::variant<int, int>{std::in_place_index<1>, 4});
  visit(std::tuple<int, std::string, bool>{1, "a", true});
  visit(std::tuple<>{});
  visit(std::pair<std::string, std::optional<int>>{"a", 1});
}

template <typename Visitor>
void visit_structs(Visitor&& visit) {
  visit(nothing{});
  visit(point{1, 2, 3});
  visit(padded{'a', 1});
  visit(with_bool{true, flag::on});
  visit(std::vector<with_bool>{{true, flag::off}, {false, flag::on}});
  visit(member_kinds{1, "a", 2.0, "b", {{{1, 2, 3}, {4, 5, 6}}}, {{"k", {1, 2}}}, color::green});
  visit(tree{1, {{2}, {3, {{4}}}}});
  visit(serialized{5, "text"});
  visit(std::vector<serialized>(2, {5, "text"}));
  visit(saved{{1, 2, 3}});
  visit(special{42});
  visit(std::map<int, special>{{1, special{2}}});
}

/// What can be moved only.
template <typename Visitor>
void visit_owners(Visitor&& visit) {
  visit(std::make_unique<point>(point{1, 2, 3}));
  visit(std::unique_ptr<const int>{});
  visit(chain{1, std::make_unique<chain>(chain{2})});
  std::vector<std::unique_ptr<std::string>> texts;
  texts.push_back(std::make_unique<std::string>("a"));
  texts.push_back(nullptr);
  visit(std::move(texts));
  std::map<int, std::unique_ptr<int>> numbers;
  numbers.emplace(1, std::make_unique<int>(2));
  visit(std::move(numbers));
  visit(std::optional<std::unique_ptr<int>>{std::make_unique<int>(3)});
  visit(std::pair<std::unique_ptr<int>, bool>{nullptr, true});
  visit(std::tuple<std::unique_ptr<int>>{nullptr});
  visit(std::variant<int, std::unique_ptr<int>>{std::make_unique<int>(4)});
}

template <typename Visitor>
void visit_large(Visitor&& visit) {
  visit(wide{{1}, {wide{{2}, {}}}});
  visit(std::optional<wide>{wide{}});
  visit(std::vector<std::array<char, 4200>>(2));
  visit(std::tuple<bool, wide, std::string>{true, {}, "a"});
}

/// Of <chrono>.
template <typename Visitor>
void visit_dates(Visitor&& visit) {
  using namespace std::chrono;
  visit(year{2026});
  visit(month{13});  // not ok(), but a value
  visit(November);
  visit(day{29});
  visit(Sunday);
  visit(Sunday[5]);
  visit(Sunday[last]);
  visit(November / 29);
  visit(November / last);
  visit(November / Sunday[5]);
  visit(November / Sunday[last]);
  visit(year{-5} / November);
  visit(year{2026} / November / 29);
  visit(year{2026} / November / last);
  visit(year{2026} / November / Sunday[5]);
  visit(year{2026} / November / Sunday[last]);
}

/// Not all of them can be compared.
template <typename Visitor>
void visit_rare(Visitor&& visit) {
  visit(detail::int128{-5} << 100);
  visit(std::vector<detail::uint128>{1, ~detail::uint128{0}});
  visit(std::make_error_code(std::errc::io_error));
  visit(std::make_error_condition(std::errc::timed_out));
  visit(std::valarray<double>{1.5, -2});
  visit(std::valarray<bool>{true, false});
  visit(std::valarray<std::string>{"a", ""});
  visit(std::forward_list<std::string>{"a", "b", "c"});
  visit(std::forward_list<nothing>(3));
  visit(std::forward_list<int>{});
  visit(std::queue<int>{{1, 2, 3}});
  visit(std::stack<std::string, std::vector<std::string>>{{"a", "b"}});
  visit(std::priority_queue<int, std::vector<int>, std::greater<>>{{}, {3, 1, 2}});
}

// The fuzzer's corpus knows them by their position: new ones go to the end.
template <typename Visitor>
void visit_samples(Visitor&& visit) {
  visit_numbers(visit);
  visit_groups(visit);
  visit_structs(visit);
  visit_owners(visit);
  visit_large(visit);
  visit_dates(visit);
  visit_rare(visit);
}

}  // namespace cadre::test
