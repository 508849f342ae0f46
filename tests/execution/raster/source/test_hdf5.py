"""HDF5 that takes its values from other files is refused; what is whole is read."""

from __future__ import annotations

import base64
import threading
import zlib

import pytest

from geobatch_tui.errors import CorruptSourceError, UnsafeInputError
from geobatch_tui.execution.raster.source import hdf5, opened_source

#: Made by h5py: a dataset whose values lie in /etc/hostname, a virtual one, a link to another file;
#: and one with links to itself only, its root in a group among them.
FILES = {
    "external": (
        "c-rgqaB<`1lHy|K;9!7(|4>lH1mPP%#cwQP4D<JJ31VWXU=l)B2m@S942%p6Y&;A=iZO9B%sdYUs)3ZER4?M"
        "4P+`VMeJ7k+7kU@$1fT_sDhv!vOpJ`Mu){?&^Dr<9Fo4_y5oHCsl9`KL184$Rl##)S2~`ISIKWH-`j(jy=1Z"
        "6;Lk+`#f*YI8ocC~b3;?kupklBfPhvt<tDjnute=rzT#}cVn+oIu01!t@Jp"
    ),
    "virtual": (
        "c-rmNJqp4=5C!13yZ(e2HCTzApq66e0YuRhg5Vtl!9oy`oIr>t5YHes+Sqyy3u`Z-`CCjQSco9J55ka_*)T~"
        "np402+&5EfE1KJ~oa&+H{^N#0bM^0}n;mT67Q8Oh3kg?zwu{!GaIry6OvT+SZsNOc#EO|kQ8X%<*`a|ATWkJ"
        "{oW{lFbKefsk1t6t#Q}}F;zj8V64j>{T`oy3+8ivcxPAooOUpMGrzMM`L&1oAhR3Z+@V5tU~l<^S}?$M~8?&"
        "<ogcU$B?Cn6#uA|fLCwI}>(H01"
    ),
    "link": (
        "c-rgqaB<`1lHy|K;9!7(|4?AY2;mz*#e2TZjq~?#31VWXU=l)B2m@S93_vYxJPbgJF?}=4JP!t{fki^=Oo(x"
        "U2+#=}4vaax3=H`t8L35j8Kw;S6$}gxlsmyqYIz_48jd*&"
    ),
    "own": (
        "c-rgqaB<`1lHy|K;9!7(|4`rn6*7Q|-)>KM?(g9e#Kcg+B!sLG2Dq3Q7#SGYco={bW8!A0Ha0#WpM#O5I6tj"
        "~g+V`2zk-b)q=F?Qu_(oi5u!+pm4StU3B;0OzyltXKW-u32^BEY*?2*GrqTkKR~XD0$OXE3*$iMO04-otVPI"
        "flVq}Dc9WI)ghk;Rm0ptdVC@avF%v>BmA22h*6ge=Uhs1n_!45uN%W+^B1*2dTjDk@x1OYpR008TYLt6"
    ),
}


def _write(tmp_path, name, suffix):
    path = tmp_path / f"{name}{suffix}"
    path.write_bytes(zlib.decompress(base64.b85decode(FILES[name])))
    return str(path)


@pytest.mark.parametrize("suffix", [".nc", ".h5"])
@pytest.mark.parametrize(
    ("name", "said"),
    [("external", "external storage"), ("virtual", "virtual"), ("link", "a link into another")],
)
def test_values_of_other_files_are_refused(tmp_path, name, said, suffix, capfd):
    """They would be published: those of any file that this user may read."""
    path = _write(tmp_path, name, suffix)
    with pytest.raises(UnsafeInputError, match=said):
        opened_source.look(path)
    with pytest.raises(UnsafeInputError), opened_source.open_source(path):
        pass
    assert capfd.readouterr() == ("", "")


def test_a_whole_file_is_read(tmp_path):
    """Links within it are its own; in another thread a process of its own looks."""
    path = _write(tmp_path, "own", ".h5")
    assert opened_source.look(path) == "HDF5"
    said = []
    thread = threading.Thread(target=lambda: said.append(opened_source.look(path)))
    thread.start()
    thread.join()
    assert said == ["HDF5"]
    assert "external" in hdf5._references_by_another_process(_write(tmp_path, "external", ".h5"))


def test_a_damaged_file_is_not_taken_for_whole(tmp_path, capfd):
    path = tmp_path / "a.h5"
    path.write_bytes(hdf5.MAGIC + bytes(100))
    with pytest.raises(CorruptSourceError):
        opened_source.look(str(path))
    with pytest.raises(CorruptSourceError):
        hdf5._references_by_another_process(str(path))
    assert capfd.readouterr() == ("", "")
