<?php
// formats/php_serialize against serialize() and unserialize().
require __DIR__ . '/common.php';

class Visible
{
	public $a;
	protected $b;
	private $c;

	public function __construct($a, $b, $c)
	{
		[$this->a, $this->b, $this->c] = [$a, $b, $c];
	}
}

class Derived extends Visible
{
	private $c = 'own';
	public $more;
}

class Custom implements Serializable
{
	public function serialize()
	{
		return random_text();
	}

	public function unserialize($data)
	{
	}
}

enum Suit: string
{
	case Hearts = 'h';
	case Spades = 's';
}

function random_text(): string
{
	$s = '';
	for ($n = mt_rand(0, 12); $n > 0; $n--)
		$s .= pick(['a', '5', '"', ';', ':', '{', '}', "\0", "\n", "\xc3\xa9", "\xff", '\\', 'O:1', 'i:1;']);
	return $s;
}

function random_value(int $depth, array &$objects)
{
	switch (mt_rand(0, $depth > 0 ? 12 : 6)) {
	case 0:
		return null;
	case 1:
		return (bool)mt_rand(0, 1);
	case 2:
		return pick([0, 1, -1, mt_rand(), -mt_rand(), PHP_INT_MAX, PHP_INT_MIN, 1800000000]);
	case 3:
		return pick([0.0, -0.0, 0.1, 1 / 3, 1e100, -1.5e-7, INF, -INF, NAN, 5.0, mt_rand() / 7, PHP_FLOAT_MIN, PHP_FLOAT_MAX]);
	case 4:
	case 5:
		return random_text();
	case 6:
		return $objects ? pick($objects) : pick(Suit::cases());
	case 7:
	case 8:
	case 9:
		$array = [];
		for ($n = mt_rand(0, 5); $n > 0; $n--) {
			$value = random_value($depth - 1, $objects);
			$key = pick([mt_rand(-3, 9), random_text(), '05', '-7', '9223372036854775808']);
			$array[$key] = $value;
			if (mt_rand(0, 5) === 0)
				$array[random_text()] = &$array[$key];
		}
		return $array;
	case 10:
		$object = new stdClass;
		$objects[] = $object;
		for ($n = mt_rand(0, 3); $n > 0; $n--) {
			$name = 'p' . mt_rand(0, 99);
			$object->$name = random_value($depth - 1, $objects);
		}
		return $object;
	case 11:
		$class = pick(['Visible', 'Derived']);
		$object = new $class(random_value($depth - 1, $objects),
		    random_value($depth - 1, $objects), random_text());
		$objects[] = $object;
		return $object;
	default:
		return new Custom;
	}
}

function php_accepts(string $s): bool
{
	return @unserialize($s, ['allowed_classes' => false]) !== false || $s === 'b:0;';
}

// Spellings that PHP writes another way than they were given.
function is_respelled(string $s): bool
{
	return preg_match('/[dCRrES]:/', $s) === 1;
}

$written = [];
for ($i = 0; $i < $cases; $i++) {
	$objects = [];
	$written[] = serialize(random_value(mt_rand(0, 4), $objects));
}
foreach (ask('php_serialize', array_map('bin2hex', $written)) as $i => $answer)
	if ($answer === 'ok ' . bin2hex($written[$i]))
		tally('written back');
	else
		mismatch($written[$i], bin2hex($written[$i]), $answer);

$mutated = [];
$alphabet = "0123456789+-.eE:;\"{}NbidsSaOCErR\0\\ AINF\xff";
while (count($mutated) < $cases * 2) {
	$s = mutate(pick($written), $alphabet);
	if (strlen($s) < 2000)
		$mutated[] = $s;
}
$answers = ask('php_serialize', array_map('bin2hex', $mutated));
foreach ($mutated as $i => $s) {
	$php = php_accepts($s);
	$c = str_starts_with($answers[$i], 'ok ');
	if ($php === $c && !$c) {
		tally('both reject');
		continue;
	}
	if ($php && $c) {
		tally('both accept');
		// Of what neither class nor float touches, the normal form is PHP's too.
		$normal = is_respelled($s) || str_contains($s, 'O:') ? null
		    : serialize(@unserialize($s));
		if ($normal === null)
			continue;
		if (hex2bin(substr($answers[$i], 3)) === $normal)
			tally('same normal form');
		elseif (preg_match('/a:(?![01]:)/', $s) && strlen($normal) < strlen(substr($answers[$i], 3)) / 2)
			tally('a key twice');
		else
			mismatch($s, $normal, hex2bin(substr($answers[$i], 3)));
		continue;
	}
	// What the header of php_serialize.h names.
	if ($php && preg_match('/bytes follow the value at byte (\d+)/', $answers[$i], $m) &&
	    php_accepts(substr($s, 0, (int)$m[1])))
		tally('bytes after the value');
	elseif ($php && preg_match('/99999999999999999999/', $s))
		tally('a length over 64 bits');
	elseif ($c && preg_match('/E:\d+:"/', $s))
		tally('an enum PHP does not know');
	elseif (preg_match('/[rR]:\d/', $s) && preg_match('/C:\d|a:|O:/', $s) &&
	    has_key_twice($s, hex2bin(substr($answers[$i], 3) ?: '')))
		tally('a reference to an overwritten member');
	else
		mismatch($s, $php ? 'accepts' : 'rejects', $answers[$i]);
}

// Whether a later member takes an earlier one's place, seen without the
// references that make PHP refuse.
function has_key_twice(string $s, string $normal): bool
{
	$plain = preg_replace('/(?<=[;{}])[rR]:\d+;/', 'N;', $normal !== '' ? $normal : $s);
	$value = @unserialize($plain);
	return $value !== false &&
	    strlen(serialize($value)) < strlen($plain);
}
finish('php_serialize');
